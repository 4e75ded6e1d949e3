"""Metrics and scores put through the groups of the battery that apply to them."""

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor

from xai_ext._checks import InputError, check_choice
from xai_ext.testing._pieces import PIECES, Piece, metric_piece, score_piece
from xai_ext.testing._running import outcome
from xai_ext.testing.battery import versions
from xai_ext.testing.report import CheckResult, Report

NEEDS = ("model", "masks", "map")
OnFail = Literal["raise", "warn"] | None


def check_metric(
    metric: Callable[..., Any],
    *,
    needs: Collection[str] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    skip: Sequence[str] = (),
    on_fail: OnFail = "raise",
) -> Report:
    """Put a metric of attribution maps through contract, non-interference, determinism and failure.

    Parameters
    ----------
    metric : callable
        Maps (N, C, H, W), and what it compares them with -> one value per example.
    needs : collection of {"model", "masks", "map"}, optional
        How it is called: ``metric(model, inputs, maps, target=0)``, ``metric(maps, masks)``, ``metric(maps, others)``,
        else ``metric(maps)``. The default is its attribute ``needs``, which the metrics of this package have.
    kwargs : mapping, optional
        Added to every call.
    skip : sequence of str
        Checks that are not run, and reported as skipped.
    on_fail : {"raise", "warn", None}

    Returns
    -------
    Report
    """
    needs = getattr(metric, "needs", None) if needs is None else needs
    if needs is None:
        raise InputError("the metric does not say what it is called with; fix: needs=, some of model, masks, map")
    for need in needs:
        check_choice("needs", need, NEEDS)
    return _checked(metric, metric_piece(metric, needs, kwargs or {}), skip, on_fail)


def check_score(
    score: Callable[[Tensor], Any], rows: Tensor, *, skip: Sequence[str] = (), on_fail: OnFail = "raise"
) -> Report:
    """Put a score of rows, such as that of an anomaly detector, through the same groups.

    Parameters
    ----------
    score : callable or module
        Rows (N, ...) -> a value per row, or several.
    rows : Tensor
        At least two that it is made for.
    skip : sequence of str
        Checks that are not run, and reported as skipped.
    on_fail : {"raise", "warn", None}

    Returns
    -------
    Report
    """
    if not isinstance(rows, Tensor) or rows.dim() < 2 or len(rows) < 2:
        raise InputError(f"rows must be a tensor of at least two rows (N, ...), got {getattr(rows, 'shape', rows)}")
    return _checked(score, score_piece(score, rows), skip, on_fail)


def _checked(function: Any, piece: Piece, skip: Sequence[str], on_fail: OnFail) -> Report:
    for name in skip:
        check_choice("a check", name, PIECES)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    subject = f"{getattr(function, '__module__', '')}:{name}"
    results = tuple(_result(check.id, piece, skip) for check in PIECES.values())
    report = Report(subject, results, {"kind": piece.kind}, (), versions(), "default")
    text = "\n".join(f"{subject} fails {r.id}: {r.reason}\n  promise: {PIECES[r.id].promise}" for r in report.failed)
    if text and on_fail == "raise":
        raise AssertionError(text)
    if text and on_fail == "warn":
        warnings.warn(text, stacklevel=3)
    return report


def _result(name: str, piece: Piece, skip: Sequence[str]) -> CheckResult:
    check = PIECES[name]
    if not check.applies(piece):
        return CheckResult(name, check.group, "not_applicable", check.why_not)
    if name in skip:
        return CheckResult(name, check.group, "skipped", "on request")
    return outcome(check, _fresh(piece))


def _fresh(piece: Piece) -> Piece:
    """With a model and tensors of its own, so that one failure does not cause the next."""
    if piece.kind == "metric":
        given = deepcopy(dict(piece.given))
        return replace(piece, given=given, module=None if piece.module is None else given["model"])
    return replace(piece, given={"rows": piece.rows.clone()})
