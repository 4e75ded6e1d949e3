"""How the public names of `xai_ext.anomaly` are used: tiny detectors and odd arguments."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor

from tests.anomaly.worlds import Blurring, table
from tests.anomaly.worlds import images as smooth
from tests.fuzz.odd import DOCUMENTED, Call, laid_out, maybe, shaped
from tests.strategies import SEEDS
from xai_ext import anomaly
from xai_ext.anomaly._residuals import RESIDUALS

ODD = st.sampled_from([0, -1, 2.5, np.nan, np.inf, 10**6])
KINDS = ("Max", "Mean", "Sum", "TopK", "KthLargest", "Quantile", "LogSumExp", "Region")
SIDES = st.tuples(st.integers(3, 7), st.integers(3, 7))
FORESTS = [
    IsolationForest(n_estimators=4, random_state=0).fit(table(30)),
    LocalOutlierFactor(3, novelty=True).fit(table(30)),
]


def argument(name, draw, odd):
    usual = {"TopK": st.one_of(st.integers(1, 9), st.floats(0.01, 1)), "KthLargest": st.integers(1, 9),
             "Quantile": st.floats(0, 1), "LogSumExp": st.floats(0.1, 9)}  # fmt: skip
    return () if name not in usual else (maybe(draw, usual[name], ODD, 10 if odd else 10**9),)


def reducer(draw, shape, names=KINDS, *, odd=False):
    name = draw(st.sampled_from(names))
    if name != "Region":
        return getattr(anomaly, name)(*argument(name, draw, odd))
    mask = np.random.default_rng(draw(SEEDS)).random(maybe(draw, st.just(shape), st.just((2, 2)), 12)) < 0.7
    return anomaly.Region(mask, reducer(draw, shape, ("Max", "Mean", "Sum")))


def samples(draw, n, channels, shape):
    """Images (n, C, H, W) in any layout; rarely not finite, empty, of another rank, or no tensor."""
    x = shaped(draw, smooth(n, channels, *shape, seed=draw(st.integers(0, 99))))
    odd = maybe(draw, st.just(""), st.sampled_from(["nan", "empty", "rank", "array", "double"]), 12)
    if odd == "nan":
        return x.detach() * torch.nan
    if odd == "rank":
        return x[0]
    return {"empty": x[:0], "array": x.detach().float().numpy(), "double": x.double()}.get(odd, x)


def score_of(draw, channels, shape):
    """A calibrated reconstruction score, and sometimes one that is not."""
    residual = draw(st.sampled_from([r for r in RESIDUALS if channels in (1, 3) or r != "luma"]))
    smooth_by = draw(st.sampled_from([0.0, 0.0, 0.7]))
    reduce = reducer(draw, shape, KINDS[:-1])
    made = anomaly.ReconstructionScore(Blurring(channels), residual=residual, reduce=reduce, smooth=smooth_by)
    if maybe(draw, st.just(value=True), st.just(value=False), 12):
        made.calibrate(smooth(20, channels, *shape, seed=7), 0.2)
    return made


def world(draw):
    shape, channels = draw(SIDES), draw(st.sampled_from([1, 3]))
    n = draw(st.integers(1, 3))
    return score_of(draw, channels, shape), samples(draw, n, channels, shape), shape


def scores_are_finite(found, n):
    assert tuple(found.shape) == (n,)
    assert found.dtype in (torch.float32, torch.float64)
    assert bool(found.isfinite().all())


def used(score, x, shape):
    """What a user does with a score."""
    n = len(x)
    scores_are_finite(score(x), n)
    scores_are_finite(score.margin(x), n)
    assert score.decide(x).tolist() == [s > score.threshold for s in score(x).double().tolist()]
    p = score.p_value(x)
    assert bool(((p > 0) & (p <= 1)).all())
    assert tuple(score.map(x).shape) == (n, 1, *shape)
    assert score.reference(x).shape == x.shape
    assert score.check_reference(x).ok.shape == (n,)
    frozen = score.frozen()(x, score.reference(x))
    torch.testing.assert_close(frozen, score(x), rtol=1e-4, atol=1e-4)


def reconstruction(draw):
    score, x, shape = world(draw)
    return Call((), {}, lambda _: used(score, x, shape), x)


def closed_form(draw):
    score, x, shape = world(draw)
    usual = [None, np.arange(int(np.prod(shape))).reshape(shape) % 3, np.zeros(shape, int)]
    labels = maybe(draw, st.sampled_from(usual), st.sampled_from([np.zeros(shape), np.full(shape, 5), [[0]]]), 12)

    def check(_):
        for one, s in zip(score.closed_form(x, labels=labels), score(x), strict=True):
            assert one.values.sum() == pytest.approx(float(s.detach()), rel=1e-3, abs=1e-4)

    return Call((), {}, check, (x, labels))


def surrogate(draw):
    score, x, shape = world(draw)
    other = reducer(draw, shape)

    def check(_):
        made = score.surrogate(other)
        scores_are_finite(made(x), len(x))
        with pytest.raises(DOCUMENTED):
            made.decide(x)

    return Call((), {}, check, x)


def callables(draw):
    """Functions as scores, some of which misbehave."""
    odd = st.sampled_from(["two", "nan", "bool", "scalar", "none"])
    kind = maybe(draw, st.sampled_from(["sum", "column", "numpy", "mean of batch"]), odd, 4)
    functions = {
        "sum": lambda x: x.flatten(1).sum(1), "column": lambda x: x.flatten(1).amax(1, keepdim=True),
        "numpy": lambda x: x.std(tuple(range(1, x.ndim))), "two": lambda x: x.flatten(1)[:, :2],
        "nan": lambda x: x.flatten(1).sum(1) * torch.nan, "bool": lambda x: x.flatten(1).sum(1) > 0,
        "scalar": lambda x: x.sum(), "none": lambda x: None, "mean of batch": lambda x: x.flatten(1).sum(1) - x.mean(),
    }  # fmt: skip
    shape = draw(SIDES)
    x = samples(draw, draw(st.integers(1, 3)), 2, shape)
    kwargs = {
        "higher_is_anomalous": draw(st.booleans()),
        "layout": draw(st.sampled_from(["channels_first", "channels_last"])),
    }
    kwargs |= {"numpy": kind == "numpy", "differentiable": draw(st.sampled_from(["auto", True, False]))}

    def check(score):
        assert isinstance(score, anomaly.DetectorScore)
        scores_are_finite(score(x), len(x))
        score.calibrate(smooth(9, 2, *shape), draw_alpha)
        assert score.decide(x).dtype == torch.bool

    draw_alpha = maybe(draw, st.floats(0.2, 0.9), ODD, 12)
    return Call((functions[kind],), kwargs, check, x)


def estimators(draw):
    est = maybe(draw, st.sampled_from(FORESTS), st.sampled_from([LocalOutlierFactor(), "no detector", 3, Blurring(1)]))
    rows = torch.from_numpy(laid_out(draw, table(draw(st.integers(0, 4)), 4)).copy())
    kwargs = maybe(draw, st.just({}), st.sampled_from([{"output": "decision_function"}, {"output": "x"}]), 4)

    def check(score):
        scores_are_finite(score(rows), len(rows))

    return Call((est,), kwargs if est in FORESTS else {}, check, rows)


def references(draw):
    score, x, shape = world(draw)
    bank = smooth(draw(st.integers(0, 4)), draw(st.sampled_from([1, 3])), *shape)
    made = draw(st.sampled_from(["NearestNormal", "MeanNormal", "Constant", "Reconstruction"]))
    args = {
        "Constant": (draw(st.floats(-1, 1)),),
        "Reconstruction": (score, maybe(draw, st.integers(1, 2), st.sampled_from([0, -1, 2.5]), 10)),
    }

    def check(_):
        found = getattr(anomaly, made)(*args.get(made, (bank,)))(x)
        assert found.shape == x.shape
        assert found.dtype == x.dtype
        assert not found.requires_grad

    return Call((), {}, check, (x, bank))


def evidence(draw):
    score, x, shape = world(draw)
    roi = maybe(draw, st.sampled_from([None, np.ones(shape, bool), torch.zeros(shape)]), st.just(np.ones((2, 2))), 12)
    areas = maybe(draw, st.sampled_from([(0.1, 0.5), (1.0,)]), st.sampled_from([(), (2.0,), (-1.0,), (np.nan,)]), 12)

    def check(_):
        found = anomaly.evidence(score, x, roi=roi, areas=areas)
        assert isinstance(found, pd.DataFrame)
        assert len(found) == len(x)
        assert found.p.between(0, 1).all()
        assert found[["roi_mass", "contrast"]].stack().dropna().between(0, 1 + 1e-9).all()

    return Call((), {}, check, (x, roi))


def right_reason(draw):
    score, x, shape = world(draw)
    n = len(x) if len(np.shape(x)) == 4 else 1
    share = draw(st.sampled_from([0.0, 0.2, 0.2, 1.0]))
    full = maybe(draw, st.sampled_from([(n, *shape), shape]), st.just((n, 2, 2)), 12)
    mask = np.random.default_rng(draw(SEEDS)).random(full) < share
    odd = maybe(draw, st.just(mask), st.sampled_from([torch.from_numpy(mask), mask * 2.0, mask * np.nan]), 4)
    kwargs = {"n_placebo": maybe(draw, st.integers(1, 5), ODD, 12)}
    kwargs |= draw(st.sampled_from([{}, {"repair": lambda x: x * 0}, {"carrier": lambda x: x * 0 + 0.5}]))

    def check(_):
        found = anomaly.right_reason(score, x, odd, **kwargs)
        assert isinstance(found, anomaly.RightReason)
        assert len(found.table()) == n
        assert set(found.verdict) <= {"right", "wrong", "partly", "undecided", "not_detected", None}

    return Call((), {}, check, (x, odd))


def deviations(draw):
    shape, channels = draw(SIDES), draw(st.integers(1, 3))
    x = samples(draw, draw(st.integers(1, 4)), channels, shape)
    size = maybe(draw, st.integers(1, 5), ODD, 12)

    def check(_):
        found = anomaly.normal_deviations(Blurring(channels), x, batch_size=size)
        assert tuple(found.shape) == (2, channels, *shape)
        assert bool((found > 0).all())
        score = anomaly.ReconstructionScore(Blurring(channels), deviations=found)
        scores_are_finite(score(x), len(x))

    return Call((), {}, check, x)


def reducers(draw):
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    values = torch.from_numpy(np.random.default_rng(draw(SEEDS)).integers(0, 4, (2, 1, *shape))).double()
    values = shaped(draw, values)

    def check(_):
        made = reducer(draw, shape, odd=True)
        found = made(values)
        assert tuple(found.shape) == (2,)
        flat = values.flatten(1)
        low = 0 if isinstance(made, anomaly.Sum | anomaly.Region) else flat.amin(1) - 1e-2
        high = flat.sum(1) if isinstance(made, anomaly.Sum | anomaly.Region) else flat.amax(1)
        assert bool(((found >= low) & (found <= high + 0.05)).all())

    return Call((), {}, check, values)


def textures(draw):
    names = ("n_train", "n_calibration", "n_good", "n_bad", "n_nuisance")
    kwargs = {name: maybe(draw, st.integers(0, 3), st.sampled_from([-1, 2.5]), 30) for name in names}
    kwargs |= {"size": maybe(draw, st.integers(16, 40), ODD, 12), "seed": draw(st.integers(0, 99))}
    texture = maybe(draw, st.sampled_from(["brick", "gravel", "grass"]), st.just("sand"), 12)

    def check(_):
        found = anomaly.texture_defects(texture, **kwargs)
        assert isinstance(found, anomaly.TextureDefects)
        assert tuple(found.bad.shape) == (kwargs["n_bad"], 1, kwargs["size"], kwargs["size"])
        same = found.bad[:, 0] == found.clean[:, 0]
        assert bool((same | found.masks).all())
        assert len(found.fooled()[0]) == kwargs["n_nuisance"]

    return Call((), {}, check)
