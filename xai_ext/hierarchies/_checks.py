"""The input errors of trees."""

from typing import Any

import numpy as np

from xai_ext._checks import InputError, InputTypeError
from xai_ext._types import FloatArray, IntArray


def _numbers(name: str, given: Any) -> FloatArray:
    """A copy as float64: the caller's array stays the caller's."""
    try:
        array = np.asarray(given)
        if array.dtype.kind in "biufO":
            return np.array(array, dtype=np.float64)
    except (TypeError, ValueError):
        pass
    raise InputTypeError(f"{name} must be an array of real numbers, got {str(given)[:80]!r}")


def check_merges(merges: Any) -> tuple[IntArray, FloatArray]:
    """Children (n-1, 2), smaller id first, and the table itself, if it is a topological linkage."""
    table = _numbers("merges", merges)
    if table.ndim != 2 or table.shape[1] != 4:
        raise InputError(
            "merges must be a SciPy linkage of shape (n-1, 4) with rows [id, id, height, players], "
            f"got shape {table.shape}"
        )
    if not np.isfinite(table).all():
        raise InputError(f"merges must be finite, got {_row(table, ~np.isfinite(table).all(1))}")
    huge = (np.abs(table[:, :2]) >= 2**53).any(1)
    if huge.any():  # a cast would overflow
        raise InputError(f"ids of merges must be below 2**53, got {_row(table, huge)}")
    table[:, :2].sort(axis=1)
    children = table[:, :2].astype(np.int64)
    _check_ids(table, children)
    return children, table


def _check_ids(table: FloatArray, children: IntArray) -> None:
    n = len(table) + 1
    fractional = np.asarray(children != table[:, :2]).any(1)
    if fractional.any():
        raise InputError(f"ids of merges must be integers, got {_row(table, fractional)}")
    unborn = (children[:, 0] < 0) | (children[:, 1] >= n + np.arange(n - 1))
    if unborn.any():
        raise InputError(
            f"merges must be topological: row k joins ids 0..n+k-1 (here n = {n}), got {_row(table, unborn)}"
        )
    used = np.bincount(children.ravel(), minlength=1)
    if (used > 1).any():
        twice = int(np.argmax(used > 1))
        raise InputError(f"each id must be merged once, got id {twice} in {_row(table, (children == twice).any(1))}")


def check_counts(table: FloatArray, sizes: IntArray) -> None:
    """Column 3 must hold the players below each row's node."""
    wrong = np.asarray(table[:, 3] != sizes)
    if wrong.any():
        raise InputError(
            f"column 3 of merges must count players ({int(sizes[np.argmax(wrong)])} here), got {_row(table, wrong)}"
        )


def check_areas(areas: Any, n: int) -> FloatArray:
    """Positive areas (n,), None = ones."""
    array = np.ones(n) if areas is None else _numbers("areas", areas)
    if array.shape != (n,):
        raise InputError(f"areas must have shape ({n},), one per player, got {array.shape}")
    if not (np.isfinite(array) & (array > 0)).all():
        raise InputError(f"areas must be positive and finite, got {array[~(np.isfinite(array) & (array > 0))][0]}")
    return array


def _row(table: FloatArray, where: Any) -> str:
    k = int(np.argmax(where))
    return f"row {k}: {table[k].tolist()}"
