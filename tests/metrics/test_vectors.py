"""Numbers computed by hand or by other libraries: `metric_vectors.json`, of which every number is checked."""

import numpy as np
import pytest
import torch

from tests.metrics.examples import linear
from tests.metrics.laws import VECTORS
from xai_ext import metrics as m
from xai_ext.study import stats

EACH = m.Protocol(step_size=1)
CASES = {}


def case(*identifiers):
    def keep(function):
        CASES.update(dict.fromkeys(identifiers, function))
        return function

    return keep


def one(values):
    """A batch of one, as float64."""
    return torch.tensor([values], dtype=torch.float64)


@case("dis-krishna-k2", "dis-krishna-k3")
def _(given, params, _):
    a, b = one(given["a"]), one(given["b"])
    names = ("feature_agreement", "rank_agreement", "sign_agreement", "signed_rank_agreement")
    return {name: m.agreement(a, b, name, **params) for name in names}


@case("dis-pra-1", "dis-pra-tie-1", "dis-pra-tie-4")
def _(given, params, _):
    return m.agreement(one(given["a"]), one(given["b"]), "pairwise_rank_agreement", **params)


@case("dis-fa-ties-k2", "dis-fa-ties-k4")
def _(given, params, _):
    return m.agreement(one(given["a"]), one(given["b"]), "feature_agreement", **params)


@case("dis-rc-ties")
def _(given, params, _):
    names = {"spearman_average_ranks": "spearman", "kendall_tau_b": "kendall", "pearson": "pearson"}
    names["weighted_tau"] = "weighted_tau"
    return {key: m.agreement(one(given["a"]), one(given["b"]), name, **params) for key, name in names.items()}


@case("dis-rc-const")
def _(given, params, _):
    a, b = one(given["a"]), one(given["b"])
    assert m.agreement(b, a, "rank_correlation", **params).isnan().all()
    return m.agreement(a, b, "rank_correlation", **params)


@case("dis-maps-1")
def _(given, params, _):
    a, b = one(given["a"]), one(given["b"])
    names = {"pearson": "pearson", "spearman": "spearman", "kendall_tau_b": "kendall", "cosine": "cosine"}
    return {
        **{key: m.agreement(a, b, name) for key, name in names.items()},
        "l2": m.l2(a, b),
        "sim_sum_normalised": m.sim(a, b),
        "jensen_shannon_distance_base2": m.js_distance(a, b),
        "kl_Q_from_P_nats": m.kl(a, b),
        "emd_l2_pixels": m.emd(a, b),
        "ssim_win3": m.agreement(a, b, "ssim", **params["ssim"]),
    }


@case("mit-1")
def _(given, params, _):
    a, b = one(given["saliency"]), one(given["reference"])
    return {
        "CC": m.agreement(a, b, "pearson"),
        "SIM_matlab_minmax_then_sum": m.sim(a, b, normalize="minmax"),
        "SIM_pysaliency_sum_only": m.sim(a, b),
        "KLdiv_matlab": m.kl(a, b),
    }


@case("dis-kendall-w")
def _(given, params, _):
    return m.kendall_w([one(ranks) for ranks in given["ranks"]], **params)


@case("cf-linear-1")
def _(given, params, _):
    model, x, baseline, maps = linear(given["w"]), *(one(given[k]) for k in ("x", "baseline", "attributions"))
    both = m.deletion_insertion(model, x, maps, baseline, protocol=EACH)
    scaled = m.deletion_insertion(model, x, maps, baseline, protocol=m.Protocol(step_size=1, normalize="range"))
    lerf = m.deletion(model, x, -maps, baseline, protocol=EACH, return_curve=True)
    return {
        "deletion_curve": both.deletion_curve.curve[0],
        "insertion_curve": both.insertion_curve.curve[0],
        "deletion_auc": both.deletion,
        "insertion_auc": both.insertion,
        "deletion_auc_normalised": scaled.deletion,
        "insertion_auc_normalised": scaled.insertion,
        "lerf_deletion_curve": lerf.curve[0],
        "lerf_deletion_auc": lerf.auc,
        "srg_lif_minus_mif": m.srg(model, x, maps, baseline, protocol=EACH),
        "aopc_including_k0": both.deletion_curve.aopc,
    }


@case("cf-ties")
def _(given, params, _):
    model, x, baseline, maps = linear(given["w"]), *(one(given[k]) for k in ("x", "baseline", "attributions"))

    def area(ties, **knobs):
        return m.deletion(model, x, maps, baseline, protocol=m.Protocol(step_size=1, ties=ties, **knobs)).item()

    drawn = [m.deletion(model, x, maps, baseline, protocol=m.Protocol(step_size=1, ties="random"),
                        rng=np.random.default_rng(seed)).item() for seed in range(30)]  # fmt: skip
    many = m.deletion(model, x, maps, baseline, protocol=m.Protocol(step_size=1, ties="random", n_orders=2000))
    assert many.item() == pytest.approx(2.5, abs=4 * 0.5 / 2000**0.5)  # four areas 2, 2.5, 2.5, 3: sd .35
    return {
        "auc_stable_raster": area("stable"),
        "auc_reverse": area("reverse"),
        "auc_mean_over_all_orders": np.mean(sorted(set(drawn))),
        "auc_plateau_steps": area("group"),
        "auc_min": min(drawn),
        "auc_max": max(drawn),
    }


@case("cf-clip")
def _(given, params, _):
    ends = {"f_input": given["f_x"], "f_baseline": given["f_baseline"]}
    names = {"auc": "none", "auc_rescaled": "range", "auc_rescaled_clipped": "range_clipped"}
    return {key: m.curve_auc(np.array(given["scores"]), **ends, normalize=how) for key, how in names.items()}


@case("cf-rgb")
def _(given, params, _):
    rows = []

    def model(images):
        rows.extend(images)
        return linear(given["w"])(images)

    x, maps = one(given["x"]), one(given["attributions_1x2x2"])
    found = m.deletion(model, x, maps, float(given["baseline"]), protocol=EACH, max_examples_per_batch=2,
                       return_curve=True)  # fmt: skip
    return {"deletion_curve": found.curve[0], "deletion_auc": found.auc, "n_model_rows": len(rows)}


@case("loc-1")
def _(given, params, _):
    a, mask = one(given["map"]), torch.tensor([given["mask"]])
    return {
        "energy_pointing_game": m.energy_pointing_game(a, mask),
        "relevance_mass_accuracy": m.mass_accuracy(a, mask),
        "relevance_rank_accuracy": m.rank_accuracy(a, mask),
        "pointing_game": m.pointing_game(a, mask),
        "topk_intersection_k4": m.precision(a, mask, threshold=m.TopK(4)),
        "topk_intersection_k6": m.precision(a, mask, threshold=m.TopK(6)),
        "roc_auc": m.roc_auc(a, mask),
        "average_precision": m.average_precision(a, mask),
    }


@case("iou-1")
def _(given, params, _):
    a, mask, half = one(given["map"]), torch.tensor([given["mask"]]), m.FractionOfMax(0.5)
    best, threshold = m.max_iou(a, mask, return_threshold=True)
    return {
        "threshold_half_max_iou": m.iou(a, mask, threshold=half),
        "threshold_half_max_f1": m.f_score(a, mask, threshold=half),
        "threshold_half_max_precision": m.precision(a, mask, threshold=half),
        "threshold_half_max_recall": m.recall(a, mask, threshold=half),
        "f1_sklearn_half_max": m.f_score(a, mask, threshold=half, beta2=1.0),
        "fbeta2_0_3": m.f_score(a, mask, threshold=half, beta2=0.3),
        "top_area_equal_iou": m.iou(a, mask, threshold=m.MaskArea()),
        "top_25pct_iou": m.iou(a, mask, threshold=m.TopFraction(0.25)),
        "mean_threshold_iou": m.iou(a, mask, threshold=m.Mean()),
        "otsu_threshold": m.Otsu().level(a.numpy().ravel()),
        "otsu_iou": m.iou(a, mask, threshold=m.Otsu()),
        "max_iou": best,
        "max_iou_threshold": threshold,
        "iou_curve_k0_to_16": m.iou_curve(a, mask, ties="stable")[0],
        "au_iou_trapezoid": m.au_iou(a, mask, ties="stable"),
    }


@case("iou-edge")
def _(given, params, expected):
    maps = torch.arange(16, dtype=torch.float64).reshape(1, 4, 4)
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[:, 1:3, 1:3] = True
    empty, nothing = torch.zeros_like(mask), m.Absolute(99.0)
    for q in (0.25, 0.5, 1.0):
        assert m.iou(maps, torch.ones_like(mask), threshold=m.TopFraction(q)).item() == q
    flat = m.iou(torch.ones_like(maps), mask, threshold=m.FractionOfMax(0.5)).item()
    assert flat == mask.double().mean()
    return {
        **expected,  # the two entries that are sentences are asserted above
        "empty_pred_nonempty_mask": m.iou(maps, mask, threshold=nothing),
        "empty_mask": m.iou(maps, empty, threshold=m.Mean()),
        "both_empty": m.iou(maps, empty, threshold=nothing),
    }


@case("pg-ties")
def _(given, params, _):
    a, mask = one(given["map"]), torch.tensor([given["mask"]])
    names = {"expected": "expected", "first_raster": "first", "any": "any"}
    return {key: m.pointing_game(a, mask, ties=ties, **params) for key, ties in names.items()}


@case("pg-tol")
def _(given, params, _):
    points = given["points_yx"]
    maps, mask = np.zeros((2, len(points), *given["shape"]))
    for i, (y, x) in enumerate(points):
        maps[i, y, x] = 1
    mask[:, given["mask_only_pixel"][0], given["mask_only_pixel"][1]] = 1
    assert (m.pointing_game(maps, mask, tolerance=0, compat="torchray") == 0).all()
    return {
        "hit_inclusive": m.pointing_game(maps, mask, tolerance=params["tolerance"]),
        "hit_torchray_strict": m.pointing_game(maps, mask, tolerance=params["tolerance"], compat="torchray"),
    }


@case("pg-torchray-mean")
def _(given, params, _):
    counts = np.array([given["hits"], given["misses"]])
    classes = np.concatenate([np.repeat(np.arange(4), n) for n in counts])
    hits = np.repeat([1.0, 0.0], counts.sum(1))
    compat = m.pointing_accuracy(hits, classes, num_classes=4, compat="torchray")
    assert compat == pytest.approx((0.75 + 0 + 0.5 + 0) / 4)
    return {
        "mean_over_present_classes": m.pointing_accuracy(hits, classes, average="macro"),
        "micro": m.pointing_accuracy(hits, classes),
    }


@case("cx-1234", "cx-const", "cx-zero")
def _(given, params, _):
    a = one(given["map"])
    return {
        "gini": m.gini(a),
        "entropy_nats": m.entropy(a),
        "hoyer": m.hoyer(a),
        "effective_complexity_eps1e5": m.effective_complexity(a),
    }


@case("drop-1")
def _(given, params, _):
    names = ("average_drop", "average_increase", "average_gain")
    return {name: getattr(m, name)(given["original"], given["masked"]).mean() for name in names}


@case("inf-1")
def _(given, params, _):
    w, x, moved = (torch.tensor([given[k]]) for k in ("w", "x", "I"))

    def infidelity(a, **options):
        def perturb(inputs):
            return moved.expand_as(inputs), inputs - moved

        return m.infidelity(lambda images: (images * w).sum(1), perturb, x, a, **params, **options)

    return {
        "attr_gradient": infidelity(w),
        "attr_zero": infidelity(0 * w),
        "attr_e1": infidelity(torch.tensor([[1.0, 0, 0]])),
        "attr_10x_gradient_normalised": infidelity(10 * w, normalize=True),
    }


@case("road-1")
def _(given, params, _):
    image = torch.tensor([given["img"]])
    missing = torch.zeros(3, 3, 3, dtype=torch.bool)
    for i, pixels in enumerate(given["missing"]):
        for y, x in pixels:
            missing[i, y, x] = True
    found = m.LinearImputer()(image, missing)[:, 0]
    return {"centre": found[0, 1, 1], "corner": found[1, 0, 0], "two_pixels": found[2, 1, 1:]}


@case("stat-1")
def _(given, params, _):
    a, b, ids = np.array(given["a"]), np.array(given["b"]), np.arange(8)
    summary = stats.summarize(a, ids)
    paired = stats.compare(a, b, ids, higher_is_better=False)
    return {
        "mean_a": summary.mean,
        "sem_a": summary.se,
        "t95_a": [summary.low, summary.high],
        "mean_diff": paired.difference,
        "wilcoxon_p_exact": paired.p,
        "paired_t_p": paired.p_t,
        "win_rate_a_lower": paired.win_rate,
    }


def flat(values):
    if values is None:
        return [np.nan]
    if isinstance(values, dict):
        return [x for key in sorted(values) for x in flat(values[key])]
    if isinstance(values, list | tuple):
        return [x for v in values for x in flat(v)]
    return [values] if isinstance(values, str) else np.asarray(values, dtype=np.float64).ravel().tolist()


@pytest.mark.parametrize("name", list(VECTORS))
def test_vector(name):
    vector = VECTORS[name]
    expected = vector["expected"]
    found = CASES[name](vector["inputs"], vector["params"], expected)
    if isinstance(expected, dict):
        assert set(found) == set(expected)
    for x, y in zip(flat(found), flat(expected), strict=True):
        assert x == (y if isinstance(y, str) else pytest.approx(y, abs=vector["tol"], nan_ok=True))


def test_every_vector_is_there():
    assert len(VECTORS) == 29
