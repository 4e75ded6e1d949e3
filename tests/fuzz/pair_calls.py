"""How the metrics that compare maps are called."""

import numpy as np
import torch
from hypothesis import strategies as st

from tests.fuzz.map_calls import EXAMPLES, ODD_NUMBERS, kernel, spatial
from tests.fuzz.odd import FINITE, SIDES, Call, arrays, column, each, hosted, maybe, numbers, regions, tensors
from tests.strategies import SEEDS
from xai_ext import metrics
from xai_ext.metrics.disagreement import MEASURES


def k_of(draw):
    one = st.one_of(st.integers(1, 9), st.floats(0.01, 1))
    return maybe(draw, st.one_of(one, st.lists(one, min_size=1, max_size=3)), st.one_of(ODD_NUMBERS, st.just([])), 10)


def agreement(draw):
    n, shape, a, kwargs = kernel(draw, return_details=draw(st.booleans()))
    b = draw(hosted((n, *maybe(draw, st.just(shape), st.just((2, 2)), 20))))
    kwargs |= {"metric": draw(st.sampled_from(MEASURES)), "k": k_of(draw)}
    kwargs |= {"ranking": draw(st.sampled_from([None, "abs", "signed"]))}
    kwargs["ties"] = draw(st.sampled_from(["expected", "half"]))
    if kwargs["metric"] == "ssim":
        kwargs |= {
            "win_size": draw(st.sampled_from([3, 5, 7, 2, -1])),
            "normalize": draw(st.sampled_from([None, "none"])),
        }
    elif draw(st.integers(0, 4)) == 0:
        kwargs["features"] = draw(st.lists(st.integers(-1, 12), max_size=4))

    def check(found):
        for one in each(found):
            assert isinstance(one, metrics.Agreement) is kwargs["return_details"]
            value = getattr(one, "value", one)
            assert len(value) == n
            column(value.numel(), -1, 1)(value.flatten())

    return Call((a, b), kwargs, check)


def distance(name, draw):
    n, shape, a, kwargs = kernel(draw)
    b = draw(hosted((n, *maybe(draw, st.just(shape), st.just((2, 2)), 20))))
    if draw(st.booleans()):
        a = draw(hosted((n, *shape), ("positive", "constant", "one high", "tiny"), ("f8", "f4", "u1", "?")))
        b = np.abs(np.asarray(draw(arrays((n, *shape), (*FINITE, "nan")))).astype(float))
        kwargs.pop("output", None)
    if name == "sim":
        kwargs["normalize"] = draw(st.sampled_from(["none", "minmax"]))
    bounds = {"js_distance": (0, 1), "sim": (0, 1)}.get(name, (0, np.inf))
    return Call((a, b), kwargs, column(n, *bounds))


def fixated(name, draw):
    n, shape, maps, kwargs = kernel(draw)
    if maybe(draw, st.just(value=True), st.just(value=False)):
        kwargs.pop("feature_mask", None)
    marks = draw(regions((n, *shape)))
    if name == "nss":
        kwargs["ddof"] = maybe(draw, st.sampled_from([0, 1]), st.just(2), 20)
    return Call((maps, marks), kwargs, column(n, *((0, 1) if name == "auc_judd" else (-np.inf, np.inf))))


def several(draw, n, shape):
    """Two to four maps of one form."""
    return [draw(hosted((n, *shape))) for _ in range(maybe(draw, st.integers(2, 4), st.integers(0, 1), 10))]


def agreement_matrix(draw):
    n, shape, _, kwargs = kernel(draw)
    maps = {str(i): one for i, one in enumerate(several(draw, n, shape))}
    kwargs.pop("output", None)
    measures = draw(st.lists(st.sampled_from([m for m in MEASURES if m != "ssim"]), min_size=1, max_size=3))
    ks = draw(st.lists(st.floats(0.01, 1), min_size=1, max_size=2))

    def check(found):
        assert isinstance(found, metrics.AgreementMatrix)
        m = len(maps)
        for measure in measures:
            values = found.values[measure]
            assert tuple(values.shape[:3]) == (n, m, m)
            column(values.numel(), -1, 1)(values.flatten())
            torch.testing.assert_close(values, values.transpose(1, 2), equal_nan=True, rtol=0, atol=0)
            assert found.mean(measure).shape == tuple(values.shape[1:])

    return Call((maps, measures, ks), kwargs, check)


def kendall_w(draw):
    n, shape, _, kwargs = kernel(
        draw, return_details=draw(st.booleans()), ranking=draw(st.sampled_from(["abs", "signed"]))
    )
    kwargs.pop("output", None)

    def check(found):
        assert isinstance(found, metrics.Concordance) is kwargs["return_details"]
        column(n, 0, 1)(getattr(found, "value", found))

    return Call((several(draw, n, shape),), kwargs, check)


def noise_floor(draw):
    n, shape, _, kwargs = kernel(draw, metric=draw(st.sampled_from(MEASURES)), k=draw(st.floats(0.01, 1)))
    kwargs.pop("output", None)
    return Call((several(draw, n, shape),), kwargs, column(n, -1, 1))


def area_over_k(draw):
    k = draw(st.integers(0, 5))
    ks = np.sort(draw(numbers((k,), ("normal", "ties")))).tolist()
    values = draw(hosted((*draw(st.lists(SIDES, max_size=2)), k), FINITE))
    kwargs = {"rule": draw(st.sampled_from(["trapezoid", "mean"]))}
    return Call((values, ks), kwargs, lambda found: _same_shape(found, values.shape[:-1]))


def _same_shape(found, shape):
    assert tuple(found.shape) == tuple(shape)
    assert found.dtype == torch.float64
    assert bool(found.isfinite().all())


def reference_maps(draw):
    n, shape = draw(EXAMPLES), spatial(draw)
    maps = draw(tensors((n, *maybe(draw, st.just(shape), st.just(()), 20))))
    kinds = ["random", "shuffled", "rolled", "center", "other_image"]
    args = (maps, draw(st.sampled_from(kinds)), np.random.default_rng(draw(SEEDS)))

    def check(found):
        assert found.dtype == torch.float64
        assert found.shape == maps.shape
        if args[1] in ("shuffled", "rolled"):
            kept = [np.sort(a.detach().double().numpy().reshape(n, -1), 1) for a in (found, maps)]
            np.testing.assert_array_equal(*kept)

    return Call(args, {}, check)
