"""How the metrics that ask no model are called: name -> a function that draws a `Call`."""

from functools import partial

import numpy as np
import torch
from hypothesis import strategies as st

from tests.fuzz.odd import (
    FINITE,
    SIDES,
    Call,
    arrays,
    column,
    each,
    map_forms,
    maybe,
    numbers,
    partitions,
    regions,
    shap_like,
    tensors,
)
from tests.strategies import SEEDS
from xai_ext import metrics
from xai_ext.metrics import Status

RULES = {
    "Absolute": st.floats(-2, 2),
    "FractionOfMax": st.floats(0, 1),
    "MaskArea": None,
    "MassFraction": st.floats(0.01, 1),
    "Mean": None,
    "Otsu": None,
    "RangeFraction": st.floats(0, 1),
    "TopFraction": st.floats(0, 1),
    "TopK": st.integers(1, 90),
}
ODD_NUMBERS = st.sampled_from([0, -1, 1.5, np.nan, np.inf, -np.inf, 10**30, 1e300])
UNDEFINED = (Status.NON_FINITE, Status.EMPTY_MASK, Status.EMPTY_PREDICTION, Status.FULL_MASK, Status.CONSTANT)
EXAMPLES = st.integers(1, 3)


def rule(draw):
    name = draw(st.sampled_from(list(RULES)))
    made = getattr(metrics, name)
    return made() if RULES[name] is None else made(draw(RULES[name]))


def spatial(draw):
    """Two sides; rarely three, or one that is empty."""
    usual, odd = st.tuples(SIDES, SIDES), st.sampled_from([(2, 3, 4), (0, 3), (3, 0)])
    return maybe(draw, usual, odd, 12)


def one_box(draw, shape):
    """A box inside of (H, W); rarely any four numbers."""
    if maybe(draw, st.just(value=False), st.just(value=True), 12):
        return draw(st.lists(st.one_of(st.floats(-3, 12), ODD_NUMBERS), min_size=4, max_size=4))
    ends = [sorted(draw(st.tuples(st.integers(0, side - 1), st.integers(1, side)))) for side in shape[:2]]
    (y0, y1), (x0, x1) = [(a, max(b, a + 1)) for a, b in ends]
    return [x0, y0, x1, y1]


def located(name, draw, **own):
    """Maps of n examples, masks or boxes, and whatever options there are."""
    n, shape = draw(EXAMPLES), spatial(draw)
    maps, kwargs = draw(map_forms(n, shape))
    if maybe(draw, st.just("masks"), st.just("boxes"), 5) == "boxes" and min(shape) > 0:
        boxes = [[one_box(draw, shape) for _ in range(draw(st.integers(0, 2)))] for _ in range(n)]
        kwargs |= {"boxes": boxes, "box_format": draw(st.sampled_from(["xyxy", "xywh", "voc"]))}
    else:
        kwargs["masks"] = draw(regions((n, *maybe(draw, st.just(shape), st.just((2, 2)), 20))))
    if maybe(draw, st.just(value=False), st.just(value=True), 4):
        kwargs["ignore"] = draw(regions((n, *shape)))
    signs = ["positive", "abs"] if name in ("energy_pointing_game", "mass_accuracy") else ["signed", "positive", "abs"]
    kwargs |= {
        "sign": draw(st.sampled_from(signs)),
        "channel_dim": maybe(draw, st.just(1), st.sampled_from([None, -1])),
    }
    details = draw(st.booleans())
    if name != "iou_curve":
        kwargs["return_details"] = details
    return Call((maps,), kwargs | own, partial(_located, n, name, details))


def _located(n, name, with_details, found):
    for one in each(found):
        if isinstance(one, tuple):
            assert [tuple(part.shape) for part in one] == [(n,), (n,)]
        elif name == "iou_curve":
            assert one.dtype == torch.float64
            assert len(one) == n
            column(one.numel(), 0, 1)(one.flatten())
        else:
            assert isinstance(one, metrics.Details) is with_details
            column(n, 0, 1)(one.value if with_details else one)
            if with_details:
                _details(n, one)


def _details(n, found):
    for name in ("value", "n_predicted", "threshold", "chance"):
        column(n)(getattr(found, name))
    column(n, 0, 1)(found.chance)
    missing = found.value.isnan()
    assert all(Status(int(s)) in UNDEFINED for s in found.status[missing])
    assert bool(missing[found.status == Status.NON_FINITE].all())


def published(draw, *names):
    """One of the published computations, rarely."""
    return maybe(draw, st.none(), st.sampled_from(names), 6)


def overlap_curve(name, draw):
    call = located(name, draw, ties=draw(st.sampled_from(["expected", "stable"])))
    if name == "au_iou":
        call.kwargs["normalized"] = draw(st.booleans())
    return call


def max_iou(draw):
    call = located("max_iou", draw, return_threshold=draw(st.booleans()))
    return call._replace(check=lambda found: [_threshold_too(len(first(found)), one) for one in each(found)])


def first(found):
    one = each(found)[0]
    return one[0] if isinstance(one, tuple) else one.value if isinstance(one, metrics.Details) else one


def _threshold_too(n, found):
    if isinstance(found, tuple):
        column(n, 0, 1)(found[0])
        column(n)(found[1])
    else:
        _located(n, "max_iou", isinstance(found, metrics.Details), found)


def pointing_game(draw):
    own = {"ties": draw(st.sampled_from(["expected", "first", "any"])), "compat": published(draw, "torchray")}
    own["tolerance"] = draw(st.one_of(st.none(), st.sampled_from([0, 1, 2.5, 30, np.inf]), ODD_NUMBERS))
    call = located("pointing_game", draw, **own)
    if own["compat"]:
        call.kwargs["ties"] = "expected"
    return call


def pointing_accuracy(draw):
    n = draw(st.integers(0, 6))
    kwargs = {"average": draw(st.sampled_from(["micro", "macro"])), "compat": published(draw, "torchray")}
    kwargs |= {"class_ids": draw(st.one_of(st.none(), arrays((n,), ("ties",), ("i8",))))}
    kwargs["num_classes"] = draw(st.one_of(st.none(), st.integers(-1, 9)))
    hits = np.random.default_rng(draw(SEEDS)).choice([0.0, 0.5, 1.0, np.nan], n)
    return Call((hits,), kwargs, lambda found: column(1, 0, 1)(torch.tensor([found], dtype=torch.float64)))


def threshold(name, draw):
    """A rule of a drawn or an odd argument, and what it makes of values."""
    args = () if RULES[name] is None else (maybe(draw, RULES[name], ODD_NUMBERS, 5),)
    n = draw(st.integers(1, 30))
    values, mask = draw(numbers((n,), (*FINITE, "huge", "tiny"))), np.arange(n) < draw(st.integers(0, n))

    def check(found):
        assert isinstance(found.label_aware, bool)
        inside = found.inclusion(values, mask)
        assert inside.shape == (n,)
        assert ((inside >= 0) & (inside <= 1)).all()
        lowest = values[inside > 0].min(initial=np.inf)
        assert not (inside[values > lowest] < 1).any(), "what is higher than something predicted is predicted"

    return Call(args, {}, check, (values, mask))


def kernel(draw, **own):
    """Options of every metric that compares maps, for maps of ``n`` examples over ``shape``."""
    n, shape = draw(EXAMPLES), spatial(draw)
    maps, kwargs = draw(map_forms(n, shape))
    if maybe(draw, st.just(value=False), st.just(value=True), 4):
        kwargs |= {"feature_mask": draw(partitions(n, shape)), "map_kind": draw(st.sampled_from(["density", "region"]))}
    if maybe(draw, st.just(value=False), st.just(value=True), 10):
        kwargs["channel_dim"] = draw(st.sampled_from([None, -1, 0, 2, 9]))
    return n, shape, maps, kwargs | own


def alone(name, draw):
    """A metric of one map."""
    n, _, maps, kwargs = kernel(draw, return_details=draw(st.booleans()))
    if name == "effective_complexity":
        kwargs |= {
            "eps": maybe(draw, st.sampled_from([0, 1e-5, 0.5]), st.sampled_from([np.inf, np.nan, -1]), 12),
            "relative": draw(st.booleans()),
        }
    low, high = getattr(metrics, name).range

    def check(found):
        for one in each(found):
            assert isinstance(one, metrics.Complexity) is kwargs["return_details"]
            column(n, low, high)(getattr(one, "value", one))

    return Call((maps,), kwargs, check)


def pixel_level(draw):
    n, _, maps, _ = kernel(draw)
    values = draw(tensors((maybe(draw, st.just(n), SIDES, 10),), FINITE))
    args = (values, maps, rule(draw), draw(st.sampled_from(["per_pixel", "per_fraction"])))
    return Call(args, {}, column(n))


def from_shap(draw):
    n, shape, c = draw(EXAMPLES), spatial(draw), draw(st.integers(1, 4))
    outputs = draw(st.sampled_from([(), (1,), (3,)]))
    inner = draw(st.sampled_from([(*shape, c), (c,)]))
    data = maybe(draw, arrays((n, *inner)), st.none(), 12)
    explanation = shap_like(draw(arrays((n, *inner, *outputs))), data)
    output = maybe(draw, st.sampled_from([0, "a", -1]), st.sampled_from([None, 2, -4, "z"]))

    def check(found):
        x, a = found
        assert x.shape == a.shape
        assert a.dtype == torch.float64
        assert x.shape[0] == n

    return Call((maybe(draw, st.just(explanation), st.just("a map"), 20), output), {}, check, vars(explanation))
