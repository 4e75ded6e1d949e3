"""How the metrics that ask a model are called."""

import copy

import numpy as np
import torch
from hypothesis import strategies as st

from tests.fuzz.odd import FINITE, SIDES, Call, arrays, column, each, hosted, maybe, shap_like, tensors
from tests.strategies import SEEDS, images, masks_of
from xai_ext import metrics
from xai_ext.metrics import LinearImputer, Protocol

TARGETS = st.sampled_from([0, 2, -1, torch.tensor(1), (1,), "per example"])
SCORES = st.sampled_from([None, "logit", "prob", "log_prob", "margin"])
RESULTS = {"deletion_insertion": metrics.DeletionInsertion, "road": metrics.RoadResult}


def scores(x):
    """Three bounded outputs (N, 3) of any input: several metrics have a unit, none of them overflows."""
    flat = x.flatten(1).double()
    return torch.stack([flat.sum(1) / 99, flat.square().mean(1), flat.amax(1)], 1).tanh()


def maps_for(draw, x):
    """(maps, layout) for images (N, C, H, W)."""
    n, c, h, w = x.shape
    usual = st.sampled_from(["all", "one channel", "none", "last", "named", "shap"])
    form = maybe(draw, usual, st.just("odd"), 20)
    if form == "named":
        return {"a": draw(hosted((n, h, w))), "b": draw(hosted((n, c, h, w)))}, {}
    if form == "shap":
        return shap_like(draw(arrays((n, h, w, c))), None), {}
    if form == "last":
        return draw(hosted((n, h, w, c))), {"layout": "channels_last"}
    shapes = {"all": (n, c, h, w), "one channel": (n, 1, h, w), "none": (n, h, w), "odd": (n, h, w + 1)}
    return draw(hosted(shapes[form])), {}


def settings(draw):
    fields = {"n_steps": draw(st.integers(1, 12)), "ties": draw(st.sampled_from(["group", "stable", "random"]))}
    fields |= {"axis": draw(st.sampled_from(["pixels", "features"])), "score": draw(SCORES)}
    fields["normalize"] = draw(st.sampled_from(["none", "none", "original", "range", "range_clipped"]))
    fields |= {"sign": draw(st.sampled_from(["signed", "abs"])), "area": draw(st.sampled_from(["trapezoid", "even"]))}
    fields["channel_dim"] = maybe(draw, st.just(1), st.sampled_from([None, -1, 2]))
    if fields["ties"] == "random":
        fields["n_orders"] = draw(st.integers(1, 2))
    if fields["ties"] == "group":
        fields |= draw(st.sampled_from([{}, {"levels": 4}, {"step_size": 3}, {"step_size": "width"}]))
    return maybe(draw, st.just(Protocol(**fields)), st.sampled_from([Protocol.rise(), Protocol.shapbpt()]), 6)


def baselines_for(draw, x):
    usual = [None, 0, 1, float(x.double().mean()), x[:1], torch.zeros_like(x), lambda inputs: inputs.clone()]
    imputers = [LinearImputer(), LinearImputer(noise=0.1, tol=0.5), LinearImputer(), x[:, :1], "blur"]
    return maybe(draw, st.sampled_from(usual), st.sampled_from(imputers), 4)


def asked(draw):
    """Inputs, maps and the options that all of them share."""
    x = draw(images())
    maps, kwargs = maps_for(draw, x)
    target = maybe(draw, TARGETS, st.sampled_from([None, 3]), 12)
    kwargs["target"] = [i % 3 for i in range(len(x))] if target == "per example" else target
    kwargs["max_examples_per_batch"] = maybe(draw, st.sampled_from([None, 1, 7]), st.sampled_from([0, 2.5]), 20)
    kwargs["rng"] = draw(st.one_of(st.none(), SEEDS.map(np.random.default_rng)))
    return x, maps, kwargs


def curve(name, draw):
    x, maps, kwargs = asked(draw)
    kwargs |= {"protocol": settings(draw), "feature_mask": draw(masks_of(tuple(x.shape)))}
    kwargs["map_kind"] = draw(st.sampled_from(["density", "region"]))
    if name in ("deletion", "insertion"):
        kwargs["return_curve"] = draw(st.booleans())
    baselines = None if kwargs["protocol"].insertion_baseline else baselines_for(draw, x)
    whole = kwargs.get("return_curve")

    def check(found):
        for one in each(found):
            if name == "deletion_insertion":
                assert isinstance(one, metrics.DeletionInsertion)
                _curves(one.deletion_curve, len(x))
                _curves(one.insertion_curve, len(x))
            elif whole:
                _curves(one, len(x))
            else:
                column(len(x))(one)

    return Call((scores, x, maps, baselines), kwargs, check)


def _curves(found, n):
    assert isinstance(found, metrics.CurveResult)
    column(n)(found.auc)
    known = found.status != metrics.Status.NON_FINITE
    assert bool(found.curve[known].isfinite().all())
    assert bool((found.curve[known].diff(dim=1).abs() <= 2).all())
    assert bool((found.fractions[known].diff(dim=1) >= 0).all())
    assert bool((found.fractions[known][:, 0] == 0).all())
    assert bool((found.fractions[known][:, -1] == 1).all())
    assert bool((found.auc.isnan() == ((found.status == 1) | (found.status == 4))).all())


def road(draw):
    x, maps, kwargs = asked(draw)
    odd = st.sampled_from([[], [-1.0], [np.nan], [0.5, 2.0]])
    kwargs["percentiles"] = maybe(draw, st.lists(st.floats(0, 1), min_size=1, max_size=3), odd, 9)
    kwargs |= {"order": draw(st.sampled_from(["both", "morf", "lerf"])), "score": draw(SCORES)}
    kwargs |= {"noise": draw(st.sampled_from([0, 0.01, 5.0])), "solver_tol": draw(st.sampled_from([1e-4, 1e-2, 0.5]))}
    kwargs["ties"] = draw(st.sampled_from(["random", "stable", "reverse"]))
    kwargs["protocol"] = draw(st.one_of(st.none(), st.just(Protocol(sign="abs"))))

    def check(found):
        for one in each(found):
            assert isinstance(one, metrics.RoadResult)
            column(len(x), -1, 1)(one.combined)
            for values in (one.morf, one.lerf, one.accuracy_morf, one.accuracy_lerf):
                if values is not None:
                    assert tuple(values.shape) == (len(x), len(kwargs["percentiles"]))
                    assert bool(values[one.status != metrics.Status.NON_FINITE].isfinite().all())

    return Call((scores, x, maps), kwargs, check)


def sensitivity_n(draw):
    x, maps, kwargs = asked(draw)
    odd = st.sampled_from([0, -0.5, 2.0, np.nan])
    kwargs |= {"n": maybe(draw, st.one_of(st.integers(1, 3), st.floats(0.01, 1)), odd, 12)}
    kwargs["n_samples"] = maybe(draw, st.integers(2, 12), st.sampled_from([1, 0, 2.5]), 12)
    kwargs["feature_mask"] = draw(masks_of(tuple(x.shape)))
    baselines = draw(st.sampled_from([None, 0, x[:1]]))
    return Call((scores, x, maps, baselines), kwargs, column(len(x), -1, 1))


def imputer(draw):
    """An imputer and what it makes of an image under masks."""
    odd = st.sampled_from([0, -1, np.nan, np.inf])
    args = (maybe(draw, st.sampled_from([0.0, 0.2]), odd), maybe(draw, st.sampled_from([1e-6, 1e-3, 0.9]), odd))
    x = draw(images())[0]
    k = draw(st.integers(0, 3))
    share = draw(st.sampled_from([0.0, 0.4, 0.9, 1.0]))
    missing = torch.from_numpy(np.random.default_rng(draw(SEEDS)).random((k, *x.shape[1:])) < share)

    def check(found):
        filled = found(x, missing)
        assert tuple(filled.shape) == (k, *x.shape)
        assert filled.dtype == x.dtype
        known = ~missing[:, None].expand(filled.shape)
        assert torch.equal(filled[known], x.expand(filled.shape)[known])
        assert bool(filled.double().isfinite().all())
        if not args[0] and args[1] < 0.1:  # means of what is there, as exact as asked for
            low, high = float(x.double().min()), float(x.double().max())
            slack = 1e-2 * (high - low) + 1e-6 + abs(high) * (0.01 if x.dtype == torch.bfloat16 else 1e-6)
            assert bool(((filled.double() >= low - slack) & (filled.double() <= high + slack)).all())

    return Call(args, {}, check, (x, missing))


def numpy_forward(draw):
    x = draw(images())
    layout = draw(st.sampled_from(["channels_last", "channels_first", "as_is"]))
    seen = []

    def function(array):
        seen.append(array.shape)
        return array.reshape(len(array), -1).astype(float).sum(1)

    def check(found):
        y = x if x.dtype != torch.bfloat16 else x.float()
        torch.testing.assert_close(found(y), y.double().flatten(1).sum(1))
        n, c, h, w = x.shape
        assert seen == [(n, h, w, c) if layout == "channels_last" else (n, c, h, w)]

    return Call((function, layout), {}, check, x)


def parameter_randomization(draw):
    n, h, w = draw(EXAMPLES), draw(SIDES), draw(SIDES)
    with torch.random.fork_rng():
        torch.manual_seed(draw(st.integers(0, 99)))
        model = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(h * w, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)
        )
    noisy, kind = draw(st.booleans()), draw(st.sampled_from(["gradient", "gradient", "zero", "nan", "named", "shape"]))

    def explain(of, x, target, rng):
        copy_of = x.detach().clone().requires_grad_()
        (found,) = torch.autograd.grad(of(copy_of)[:, target].sum(), copy_of)
        found = found + torch.from_numpy(rng.normal(size=found.shape)) if noisy else found
        others = {"zero": found * 0, "nan": found * torch.nan, "named": {"a": found}, "shape": found[:, :, :0]}
        return others.get(kind, found)

    x = draw(tensors((n, h, w), FINITE, ("f4",))).detach().float()
    kwargs = {"layers": draw(st.sampled_from([None, ["1"], ["3", "1"], [], ["2"]]))}
    kwargs |= {"order": draw(st.sampled_from(["cascade", "independent"]))}
    kwargs["similarity"] = draw(
        st.sampled_from(["spearman", "kendall", "feature_agreement", "pearson", "ssim", "cosine"])
    )
    kwargs["ranking"] = draw(st.sampled_from([None, "abs", "signed"]))
    kwargs["model_factory"] = draw(st.sampled_from([None, lambda: copy.deepcopy(model)]))

    def check(found):
        assert isinstance(found, metrics.RandomizationResult)
        assert tuple(found.similarity.shape) == (len(found.layers), n)
        column(n, -1, 1)(found.mean)
        column(n, -1, 1)(found.seed_floor)

    return Call((model, explain, x, draw(st.integers(0, 1))), kwargs, check, dict(model.state_dict()))


EXAMPLES = st.integers(1, 3)


def infidelity(draw):
    x = draw(images()).float()
    shapes = [tuple(x.shape), (len(x), 1, *x.shape[2:]), (len(x), *x.shape[2:])]
    maps = draw(hosted(maybe(draw, st.sampled_from(shapes), st.just((2, 9)), 12)))
    kwargs = {"target": draw(st.sampled_from([0, 1, -1])), "n_perturb_samples": draw(st.integers(1, 4))}
    kwargs |= {"max_examples_per_batch": draw(st.sampled_from([None, 1, 4])), "normalize": draw(st.booleans())}
    kwargs["baselines"] = draw(st.sampled_from([None, 0, 1.5, x[:1]]))
    kwargs["rng"] = draw(st.one_of(st.none(), SEEDS.map(np.random.default_rng)))
    return Call((scores, None, x, maps), kwargs, lambda found: _captums(found, len(x)))


def _captums(found, n):
    assert found.dtype == torch.float64
    assert tuple(found.shape) == (n,)
    assert not bool((found < -1e-6).any())  # normalized, Captum's is a difference, in float32


def sensitivity_max(draw):
    x = draw(images()).float()
    mask = draw(masks_of(tuple(x.shape)))

    def explain(copies, feature_mask=None):
        assert feature_mask is None or len(feature_mask) in (1, len(copies[0]))
        return tuple(x.square() for x in copies)

    kwargs = {} if mask is None else {"feature_mask": mask}
    kwargs |= {"perturb_radius": draw(st.sampled_from([0.0, 0.02, 3.0])), "n_perturb_samples": draw(st.integers(1, 4))}
    kwargs |= {
        "norm_ord": draw(st.sampled_from(["fro", 2, 1])),
        "max_examples_per_batch": draw(st.sampled_from([None, 1, 4])),
    }
    kwargs["rng"] = draw(st.one_of(st.none(), SEEDS.map(np.random.default_rng)))
    return Call((explain, x), kwargs, lambda found: _captums(found, len(x)))
