"""Contract: what goes in, what comes out, what is refused."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_ext.testing import _fixtures as fixtures
from xai_ext.testing._adapters import Problem, Settings
from xai_ext.testing._case import Case, check
from xai_ext.testing.tags import Tags


@check("contract")
def check_shape_dtype(case: Case) -> None:
    """The result has the input's shape, a plain contiguous dtype that keeps float64, and no graph."""
    for dtype in (torch.float32, torch.float64):
        problem = case.problem(fixtures.net(dtype=dtype), n=2, dtype=dtype)
        raw = case.explain(problem).raw
        if isinstance(raw, Tensor):
            if case.tags.map != "layer":
                case.require(raw.shape == problem.x.shape, f"shape {tuple(raw.shape)} for {tuple(problem.x.shape)}")
            case.require(raw.dtype == dtype, f"a {dtype} model gives {raw.dtype}")
            case.require(raw.device == problem.x.device, f"device {raw.device}, expected {problem.x.device}")
            case.require(raw.is_contiguous(), "the result is not contiguous")
            case.require(not raw.requires_grad, "the result carries a graph")
            case.require(not raw.is_inference(), "the result is an inference tensor")
        else:
            array = np.asarray(raw)
            case.require(array.dtype == np.float64, f"NumPy hosts return float64, got {array.dtype}")
            case.require(len(array) == 2, f"{len(array)} results for 2 examples")
        case.require(np.isfinite(np.asarray(raw)).all(), "values that are not finite")


@check("contract")
def check_layouts(case: Case) -> None:
    """Channels last, transposed, expanded and inference-mode inputs give what a contiguous input gives."""
    problem = case.exact_problem()
    x = problem.x
    with torch.inference_mode():
        inference = x.clone()
    layouts = {
        "channels_last": x.clone(memory_format=torch.channels_last),
        "transposed": x.transpose(2, 3).contiguous().transpose(2, 3),
        "inference": inference,
    }
    expected = case.explain(problem).players
    for name, view in layouts.items():
        got = case.explain(replace(problem, x=view)).players
        case.close(got, expected, 1e-10 if case.tags.hooks else 0.0, f"{name} input")
    flat = x[:, :1, :1, :1]
    wide, same = flat.expand(1, 3, 8, 8), flat.expand(1, 3, 8, 8).contiguous()
    got, expected = (case.explain(replace(problem, x=a)).players for a in (wide, same))
    case.close(got, expected, 1e-10 if case.tags.hooks else 0.0, "expanded input")


@check("contract")
def check_sizes(case: Case) -> None:
    """One example, H unlike W, any number of channels and a single player work; no example is an error."""
    for channels, size in ((1, (8, 8)), (3, (5, 9)), (5, (6, 4))):
        problem = _sized(case, channels, size)
        outcome = case.explain(problem)
        case.require(np.isfinite(outcome.players).all(), f"values of {channels} channels of {size} are not finite")
        if isinstance(outcome.raw, Tensor) and case.tags.map != "layer":
            case.require(
                outcome.raw.shape == problem.x.shape, f"shape {tuple(outcome.raw.shape)} for {problem.x.shape}"
            )
    if case.tags.feature_mask or case.tags.columns:
        one = case.problem(labels=np.zeros((8, 8), np.int64))
        case.require(np.isfinite(case.explain(one).players).all(), "one player has no finite value")
    if case.tags.host in ("captum", "function"):
        empty = case.problem()
        _empty(case, replace(empty, x=empty.x[:0]))


def _sized(case: Case, channels: int, size: tuple[int, int]) -> Problem:
    x = fixtures.images(1, channels, size, seed=case.base_seed)
    return replace(case.problem(fixtures.net(channels, size)), x=x, labels=fixtures.grid_labels(size))


def _empty(case: Case, problem: Problem) -> None:
    try:
        raw = case.explain(problem).raw
    except ValueError as error:
        case.require("input" in str(error), f"no example: the error does not name the inputs: {error}")
        return
    case.require(len(raw) == 0, f"no example: a result of length {len(raw)}")


@check("contract", lambda t: t.multi_output and t.is_torch and t.host == "captum", "takes a target as Captum does")
def check_targets(case: Case) -> None:
    """An int, a 0-d tensor, a list, a tuple and a tensor that name the same output give the same bits."""
    problem = case.problem(n=2)
    expected = case.explain(problem).raw
    for target in (torch.tensor(2), [2, 2], (2,), torch.tensor([2, 2]), torch.tensor([2])):
        case.same(case.explain(replace(problem, target=target)).raw, expected, f"target {target!r}")


@contextlib.contextmanager
def captured() -> Iterator[tuple[io.StringIO, io.StringIO, list[warnings.WarningMessage]]]:
    """Everything that is printed or warned of."""
    out, err = io.StringIO(), io.StringIO()
    with (
        warnings.catch_warnings(record=True) as caught,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        warnings.simplefilter("always")
        yield out, err, caught


@check("contract")
def check_quiet(case: Case) -> None:
    """A well-formed call prints nothing and warns of nothing."""
    problem = case.problem()
    case.explain(problem)  # what is imported and compiled the first time may speak
    with captured() as (out, err, caught):
        case.explain(problem)
    case.require(not out.getvalue(), f"printed {out.getvalue()[:80]!r}")
    bar = case.tags.host == "lime"  # lime always shows its progress
    case.require(bar or not err.getvalue(), f"printed to stderr {err.getvalue()[-80:]!r}")
    case.require(not caught, f"warned: {caught[0].message if caught else ''}")


def _exchanges(tags: Tags) -> bool:
    return not tags.gradients and tags.map != "position"


@check("contract", _exchanges, "needs gradients or blends pixels, which NaN pixels spoil")
def check_nan_pixels(case: Case) -> None:
    """Pixels that are NaN in the input or in the baseline stay out of a model that tolerates them."""
    model = fixtures.TolerantOfNaN(fixtures.net(dtype=torch.float64))
    problem = case.problem(model, dtype=torch.float64)
    x = problem.x.clone()
    x[:, :, 3, 4] = float("nan")
    zero = problem.baseline * torch.ones_like(x)
    zero[:, :, 1, 2] = float("nan")
    clean = replace(problem, x=x.nan_to_num(0.0), baseline=zero.nan_to_num(0.0))
    if case.tags.estimand == "owen":  # a tree built from NaN pixels is another tree
        x = clean.x
    got = case.explain(replace(problem, x=x, baseline=zero)).players
    case.close(got, case.explain(clean).players, 1e-6, "NaN pixels")


Bad = tuple[str, str, dict[str, Any]]


def _bad_calls(tags: Tags) -> list[Bad]:
    """What is wrong, a word the error must hold, and the keywords of a call that are changed."""
    calls: list[Bad] = [("an unknown keyword", "", {"n_sampels": 3})]
    if tags.budget:
        calls += [(f"budget {b}", tags.budget, {tags.budget: b}) for b in (0, -1, 1.5, "many")]
    if tags.batch:
        calls += [(f"batch {b}", tags.batch, {tags.batch: b}) for b in (0, -3)]
    if tags.host != "captum":
        return calls
    calls += [
        ("inputs that are a list", "input", {"inputs": [1.0, 2.0]}),
        ("inputs of dtype object", "input", {"inputs": np.array([object()])}),
        ("a target that is a string", "target", {"target": "cat"}),
        ("too many targets", "target", {"target": [0, 1, 2]}),
    ]
    if tags.feature_mask:
        calls += [
            ("a fractional mask", "", {"feature_mask": torch.full((1, 3, 8, 8), 0.5)}),
            ("a mask of another shape", "mask", {"feature_mask": torch.zeros(1, 3, 7, 8).long()}),
            ("two masks", "mask", {"feature_mask": (torch.zeros(8, 8).long(),) * 2}),
        ]
    if tags.feature_mask or tags.estimand == "path":
        calls += [
            ("two baselines", "baseline", {"baselines": (0.0, 0.0)}),
            ("a baseline of another shape", "baseline", {"baselines": torch.zeros(1, 3, 7, 8)}),
        ]
    return calls


@check("contract", lambda t: t.host in ("captum", "shap", "core"), "has no calls of a known form")
def check_bad_calls(case: Case) -> None:
    """Malformed calls are refused by a ValueError or TypeError that names the argument, before the model runs."""
    for what, word, change in _bad_calls(case.tags):
        spy = fixtures.Spy(fixtures.net())
        error = case.raises(partial(_malformed, case, spy, change), (ValueError, TypeError), what)
        case.require(word in str(error) or not word, f"{what}: the error does not name {word!r}: {error}")
        case.require(not spy.calls, f"{what}: the model ran {spy.rows} rows before the error")
    if case.tags.multi_output:
        for target in (99, -99) if case.tags.host != "core" else (99,):
            problem = case.problem(target=target)
            case.raises(partial(case.explain, problem), (ValueError, TypeError), f"target {target}")


def _malformed(case: Case, spy: Any, change: dict[str, Any]) -> None:
    problem = case.problem(spy)
    subject = case.subject
    if case.tags.host != "captum":
        more = dict(change)
        batch = more.pop("batch_size", None) if case.tags.host == "core" else None
        subject.explain(problem, Settings(batch=batch, more=more))
        return
    kwargs = {"inputs": problem.x, "target": 2, **subject.call_settings(Settings()), **change}
    subject.built(spy).attribute(**kwargs)
