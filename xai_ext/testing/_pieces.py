"""Metrics and scores: what the battery can ask of them, contract, traces, determinism and failure."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xai_ext._types import AnyArray
from xai_ext.testing._case import Check, Judge, as_array
from xai_ext.testing._contract import captured
from xai_ext.testing._fixtures import Spy
from xai_ext.testing._state import ModelState, differences, generators, process, restored, same_bits

Call = Callable[[Any, Mapping[str, Any]], Any]


class Saturating(nn.Module):
    """Three outputs tanh(<w, x>) behind batch statistics; a row alone scores as in a batch."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        weights = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        self.norm, self.weights = nn.BatchNorm2d(shape[0]).double(), nn.Parameter(weights / 8)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = torch.tanh((self.norm(x)[:, None] * self.weights).flatten(2).sum(2))
        return scores


def world() -> dict[str, Any]:
    """Four examples with everything that a metric may compare a map (4, 3, 5, 4) with."""
    generator = torch.Generator().manual_seed(0)
    shape = (4, 3, 5, 4)
    inputs = torch.randn(shape, generator=generator, dtype=torch.float64)
    others = torch.randn(4, 5, 4, generator=generator, dtype=torch.float64)
    masks = others > others.flatten(1).quantile(0.7, dim=1)[:, None, None]
    rows = torch.randint(-9, 10, shape, generator=generator).double() / 4  # ties, and sums that are exact in any order
    return {"rows": rows, "inputs": inputs, "masks": masks, "others": others, "model": Saturating(shape[1:]).eval()}


@dataclass
class Piece(Judge):
    """A function of rows under test, and what it is given beside them."""

    kind: str
    call: Call
    given: Mapping[str, Any]
    module: nn.Module | None = None

    @property
    def rows(self) -> Any:
        """Maps, or what a score takes."""
        return self.given["rows"]

    def values(self, rows: Any = None, **changes: Any) -> AnyArray:
        """One value per row."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return as_array(self.call(self.rows if rows is None else rows, {**self.given, **changes}))

    def part(self, index: list[int]) -> AnyArray:
        """Of some of the rows."""
        chosen = {k: v[index] for k, v in self.given.items() if isinstance(v, Tensor)}
        return self.values(chosen.pop("rows"), **chosen)


PIECES: dict[str, Check] = {}


def piece(group: str, *kinds: str) -> Callable[[Callable[[Piece], None]], Callable[[Piece], None]]:
    """Make a function ``piece_<id>`` a check of metrics, scores or both."""

    def register(function: Callable[[Piece], None]) -> Callable[[Piece], None]:
        name = function.__name__.removeprefix("piece_")
        promise = (function.__doc__ or "").strip().splitlines()[0]
        PIECES[name] = Check(name, group, promise, function, lambda p: p.kind in kinds, f"is no {kinds[0]}")
        return function

    return register


@piece("contract", "metric", "score")
def piece_one_value_per_row(case: Piece) -> None:
    """Every row gets a finite number, in an array of as many rows."""
    values = case.values()
    case.require(values.shape[:1] == (len(case.rows),), f"shape {values.shape} for {len(case.rows)} rows")
    case.require(values.ndim == 1 or case.kind == "score", f"a metric gives one number per example, got {values.shape}")
    case.require(np.isfinite(values).all(), f"values that are not finite: {values}")


@piece("contract", "metric", "score")
def piece_layouts(case: Piece) -> None:
    """Rows that are transposed or strided in memory give what contiguous rows give."""
    rows, expected = case.rows, case.values()
    layouts = {"strided": torch.repeat_interleave(rows, 2, dim=-1)[..., ::2]}
    if rows.dim() > 2:
        layouts["transposed"] = rows.transpose(-1, -2).contiguous().transpose(-1, -2)
    for name, view in layouts.items():
        case.close(case.values(view), expected, 1e-6, f"{name} rows")


@piece("contract", "metric", "score")
def piece_quiet(case: Piece) -> None:
    """A well-formed call prints nothing and warns of nothing."""
    case.values()
    with captured() as (out, err, caught):
        case.call(case.rows, case.given)
    said = out.getvalue() + err.getvalue() + "".join(str(w.message) for w in caught)
    case.require(not said, f"said {said[:80]!r}")


@piece("contract", "metric", "score")
def piece_bad_calls(case: Piece) -> None:
    """Objects, text and a single number in place of rows are refused by a ValueError or TypeError."""
    for bad in (np.array([object()] * 4), "rows", 3.0):
        case.raises(partial(case.values, bad), (ValueError, TypeError), f"rows {bad!r:.40}")


@piece("contract", "metric")
def piece_other_shape(case: Piece) -> None:
    """Maps for another number of examples, or of other positions, are refused by a ValueError or TypeError."""
    if set(case.given["needs"]):
        for rows in (case.rows[:3], case.rows[..., :3]):
            case.raises(partial(case.values, rows), (ValueError, TypeError), f"maps {tuple(rows.shape)}")


@piece("non-interference", "metric", "score")
def piece_inputs_unchanged(case: Piece) -> None:
    """What is given keeps its bits, version and gradient."""
    tensors = {k: v for k, v in case.given.items() if isinstance(v, Tensor)}
    before = {k: (v.clone(), v._version) for k, v in tensors.items()}
    case.values()
    for name, (bits, version) in before.items():
        kept = same_bits(tensors[name], bits) and tensors[name]._version == version and tensors[name].grad is None
        case.require(kept, f"{name} were written to")


@piece("non-interference", "metric", "score")
def piece_global_rng(case: Piece) -> None:
    """No global generator moves."""
    case.values()
    before = generators()
    case.values()
    changed = differences(before, generators())
    case.require(not changed, f"moved: {', '.join(changed)}")


@piece("non-interference", "metric", "score")
def piece_process_state(case: Piece) -> None:
    """Settings of the process are as before."""
    with restored():  # the first call imports and compiles
        case.call(case.rows, case.given)
    before = process()
    case.call(case.rows, case.given)
    changed = differences(before, process())
    case.require(not changed, f"changed: {', '.join(changed)}")


@piece("non-interference", "metric", "score")
def piece_model_unchanged(case: Piece) -> None:
    """Weights, buffers, modes, gradients and hooks of the model are as before; of a metric in training mode too."""
    module = case.module
    if module is None:
        return
    was = module.training
    for training in (False, True) if case.kind == "metric" else (was,):
        module.train(training)
        before = ModelState.of(module)
        case.values()
        changed = before.changed(ModelState.of(module))
        module.train(was)
        case.require(not changed, f"training={training}, changed: {', '.join(changed)}")


@piece("determinism", "metric", "score")
def piece_same_twice(case: Piece) -> None:
    """Two calls give the same bits."""
    case.same(case.values(), case.values(), "a second call")


@piece("determinism", "metric", "score")
def piece_rows_alone(case: Piece) -> None:
    """A row alone gives what it gives in a batch, in any order."""
    expected, order = case.values(), list(range(len(case.rows)))[::-1]
    case.close(case.part(order), expected[order], 1e-6, "a permuted batch")
    for i in range(len(case.rows)):
        case.close(case.part([i]), expected[[i]], 1e-6, f"row {i} alone")


@piece("failure", "metric")
def piece_nonfinite_map(case: Piece) -> None:
    """A map that is not finite is NaN or a ValueError, never a number, and costs no other example its value."""
    expected = case.values()
    for bad in (float("nan"), float("inf"), float("-inf")):
        rows = case.rows.clone()
        rows[1, 0, 2, 1] = bad
        try:
            values = case.values(rows)
        except ValueError:
            continue
        case.require(np.isnan(values[1]), f"a map with {bad} has the value {values[1]}")
        case.same(np.delete(values, 1), np.delete(expected, 1), f"values beside a map with {bad}")


@piece("failure", "metric")
def piece_model_fails(case: Piece) -> None:
    """An exception of the model arrives as it is, and a score that is NaN is never a number."""
    if case.module is None:
        return
    raising = Spy(case.module, at=1, error=LookupError("mine"))
    error = case.raises(partial(case.values, model=raising), LookupError, "a model that raises")
    case.require(error.args == ("mine",), f"the model's exception became {error!r}")
    spoiled = Spy(case.module, at=0, value=float("nan"))
    try:
        values = case.values(model=spoiled)
    except ValueError:
        return
    case.require(np.isnan(values).any(), "a score that is NaN is read as a number")


def metric_piece(metric: Callable[..., Any], needs: Any, kwargs: Mapping[str, Any]) -> Piece:
    """A metric as it is called: with the model and its inputs, with masks, with other maps, or alone."""

    def call(rows: Any, given: Mapping[str, Any]) -> Any:
        if "model" in needs:
            return metric(given["model"], given["inputs"], rows, target=0, **kwargs)
        beside = [given[name] for name, need in (("masks", "masks"), ("others", "map")) if need in needs]
        return metric(rows, *beside, **kwargs)

    given = world() | {"needs": frozenset(needs)}
    return Piece("metric", call, given, given["model"] if "model" in needs else None)


def score_piece(score: Callable[..., Any], rows: Tensor) -> Piece:
    """A score of rows; a module is watched."""
    module = score if isinstance(score, nn.Module) else None
    return Piece("score", lambda rows, _: score(rows), {"rows": rows.detach().clone()}, module)
