"""Deletion and insertion curves of one example: which masks, evaluated once each, and the areas below."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from xai_ext._checks import InputError
from xai_ext._forward import Index
from xai_ext._mixing import Chosen
from xai_ext._progress import progress
from xai_ext._types import BoolArray, FloatArray, IntArray
from xai_ext.game import MaskedModel
from xai_ext.metrics._features import Features
from xai_ext.metrics._metric import Status
from xai_ext.metrics._protocol import Protocol
from xai_ext.metrics._randomness import example_rng
from xai_ext.metrics._ranking import Order, curve_auc, quantile_counts, schedule
from xai_ext.metrics._scores import apply_score


@dataclass(frozen=True, eq=False)
class Subject:
    """One example; ``target`` is what the score has yet to select, None where the model returns one output."""

    masked_model: MaskedModel
    target: Index
    features: Features


class Path(NamedTuple):
    """The masks along one curve; ``order`` is an index, ``insert`` starts from the baseline instead of x."""

    order: int
    counts: IntArray
    insert: bool


class _Point(NamedTuple):
    order: int
    n_moved: int
    insert: bool


@dataclass(frozen=True, eq=False)
class Curve:
    """One curve of one example."""

    counts: IntArray
    fractions: FloatArray
    scores: FloatArray
    f_input: float
    f_baseline: float
    n_groups: int
    auc: float
    status: Status


NO_CURVE = Curve(
    np.zeros(1, np.int64), np.full(1, np.nan), np.full(1, np.nan), np.nan, np.nan, 0, np.nan, Status.NON_FINITE
)


def example_curves(
    subject: Subject,
    maps: Mapping[str, FloatArray | None],
    inserts: Sequence[bool],
    protocol: Protocol,
    *,
    seed: int = 0,
    progress_name: str | None = None,
) -> dict[str, list[Curve]]:
    """For each map, one value per feature, its curves: one per entry of ``inserts``; a map that is None has none."""
    finite = {name: values for name, values in maps.items() if values is not None}
    orders: list[Order] = []
    paths: list[Path] = []
    for values in finite.values():
        rng = example_rng(seed)
        for _ in range(protocol.n_orders):
            orders.append(_order(subject.features, values, protocol, rng))
            for insert in inserts:
                paths.append(Path(len(orders) - 1, _counts(subject, orders[-1], values, protocol, insert), insert))
    width = len(inserts)
    if not paths:
        return {name: [NO_CURVE] * width for name in maps}
    curves = _evaluated(subject, orders, paths, protocol, progress_name)
    per_map = width * protocol.n_orders
    found = {
        name: [_mean(curves[i * per_map + j : (i + 1) * per_map : width]) for j in range(width)]
        for i, name in enumerate(finite)
    }
    return {name: found.get(name, [NO_CURVE] * width) for name in maps}


def _evaluated(
    subject: Subject, orders: list[Order], paths: list[Path], protocol: Protocol, progress_name: str | None
) -> list[Curve]:
    model, n_masks = subject.masked_model, 2 + sum(len(path.counts) - 2 for path in paths)
    with progress(model, progress_name or "", n_masks, enabled=progress_name is not None):
        outputs, rows = perturbation_curves(model, subject.features, orders, paths)
    scores = scored(subject, outputs, protocol)
    ends = float(scores[0]), float(scores[1])
    return [_curve(p.counts, scores[r], ends, orders[p.order], protocol) for p, r in zip(paths, rows, strict=True)]


def scored(subject: Subject, outputs: FloatArray, protocol: Protocol) -> FloatArray:
    """The score of each row of outputs."""
    shaped = outputs.reshape(-1, *subject.masked_model.output_shape)
    return apply_score(shaped, subject.target, protocol.score)


def subset_scores(subject: Subject, kept: BoolArray, protocol: Protocol) -> FloatArray:
    """Scores (2 + k,) of f(x), f(baseline) and of rows of features (k, n) that are kept."""
    model = subject.masked_model
    devices = [x.device for x in model.inputs]
    ends = np.stack([model.full_value, model.base_value])
    rows = model.evaluate(len(kept), lambda part: subject.features.keep(kept[part], devices))
    return scored(subject, np.concatenate([ends, rows]), protocol)


def perturbation_curves(
    masked_model: MaskedModel, features: Features, orders: Sequence[Order], paths: Sequence[Path]
) -> tuple[FloatArray, list[list[int]]]:
    """Scores along several curves of one example; a mask that occurs more than once is evaluated once.

    Returns
    -------
    scores : array (m, n_outputs)
        Of the m distinct masks; row 0 is f(x), row 1 is f(baseline).
    rows : list of lists of int
        For each path the rows of its points.
    """
    points, rows = _distinct(orders, paths)
    devices = [x.device for x in masked_model.inputs]
    scores = [np.stack([masked_model.full_value, masked_model.base_value])]
    for i, order in enumerate(orders):
        own = [p for p in points if p.order == i]
        if own:
            scores.append(_evaluate(masked_model, features, order, own, devices))
    return np.concatenate(scores), rows


def _evaluate(
    masked_model: MaskedModel, features: Features, order: Order, points: Sequence[_Point], devices: list[torch.device]
) -> FloatArray:
    """Scores of points of one order: positions that move between two neighbouring counts are one player."""
    counts = np.unique([p.n_moved for p in points])
    reached = np.zeros(order.bounds[-1] + 1, np.int64)
    reached[counts] = 1
    players = features.players(np.cumsum(reached)[order.rank], devices)
    index = np.searchsorted(counts, [p.n_moved for p in points])
    moved = np.arange(len(counts) + 1) <= index[:, None]
    kept = torch.from_numpy(moved == np.array([[p.insert] for p in points]))
    return masked_model.evaluate(len(points), lambda part: tuple(Chosen(kept[part], p) for p in players))


def _distinct(orders: Sequence[Order], paths: Sequence[Path]) -> tuple[list[_Point], list[list[int]]]:
    """The points whose masks are new, and the row of each path's points; rows 0 and 1 keep everything and nothing."""
    numbers = _numbers(len(orders[0].rank))
    total = tuple(numbers.sum(1).tolist())
    index: dict[tuple[int, ...], int] = {total: 0, (0, 0): 1}
    sums = [np.pad(np.cumsum(numbers[:, order.items], axis=1), ((0, 0), (1, 0))) for order in orders]
    points, rows = [], []
    for path in paths:
        order = orders[path.order]
        moved = sums[path.order][:, np.searchsorted(order.rank[order.items], path.counts)]
        keys = moved if path.insert else sums[path.order][:, -1:] - moved
        found = []
        for key, count in zip(map(tuple, keys.T.tolist()), path.counts, strict=True):
            if key not in index:
                index[key] = len(index)
                points.append(_Point(path.order, int(count), path.insert))
            found.append(index[key])
        rows.append(found)
    return points, rows


@lru_cache(maxsize=4)
def _numbers(n: int) -> NDArray[np.uint64]:
    """(2, n): random numbers whose sum over a set of features, modulo 2^64, tells sets apart."""
    return np.random.default_rng(0).integers(2**64, size=(2, n), dtype=np.uint64)


def _order(features: Features, values: FloatArray, protocol: Protocol, rng: np.random.Generator) -> Order:
    return features.order(values, protocol.ties, per_position=protocol.axis == "pixels", rng=rng)


def _counts(subject: Subject, order: Order, values: FloatArray, protocol: Protocol, insert: bool) -> IntArray:
    if protocol.levels is not None:
        if subject.features.regions is not None:
            raise InputError("Protocol(levels=) takes quantiles of positions; fix: no feature_mask")
        return quantile_counts(values, protocol.levels, insert=insert)
    if isinstance(protocol.step_size, str):
        return schedule(order, step_size=_width(subject.features))
    return schedule(order, protocol.n_steps, protocol.step_size)


def _width(features: Features) -> int:
    if len(features.grids) != 1 or len(features.grids[0].shape) != 2:
        raise InputError('step_size="width" needs one input with two spatial dimensions')
    return features.grids[0].shape[1]


def _mean(curves: Sequence[Curve]) -> Curve:
    """Of the curves of several random orders, at the points of the first."""
    first = curves[0]
    if len(curves) == 1:
        return first
    scores = np.mean([np.interp(first.fractions, c.fractions, c.scores) for c in curves], axis=0)
    return replace(first, scores=scores, auc=float(np.mean([c.auc for c in curves])))


def _curve(counts: IntArray, scores: FloatArray, ends: tuple[float, float], order: Order, protocol: Protocol) -> Curve:
    fractions = counts / order.bounds[-1]
    f_input, f_baseline = ends
    auc = curve_auc(
        scores, fractions, f_input=f_input, f_baseline=f_baseline, normalize=protocol.normalize, rule=protocol.area
    )
    status = Status.CONSTANT if order.n_groups == 1 else Status.OK
    if np.isnan(auc):
        status = Status.FLAT_SCORE
    return Curve(counts, fractions, scores, f_input, f_baseline, order.n_groups, auc, status)
