"""One image, every method."""

import os
import signal
import sys
import threading

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from tests.laws import GeneratorsUntouched
from tests.tiny_models import broken, conv, slow
from xai_ext.study import compare
from xai_ext.study.compare import set_up
from xai_ext.study.config import Config
from xai_ext.study.methods import all_methods, choose_methods

MODEL = "tests.tiny_models:conv"
FAST = "ours,captum,-captum.LRP,lime,center"  # shap's first explanation compiles for seconds


@pytest.fixture(scope="module")
def result():
    return compare(model=MODEL, methods=FAST, budget=61, segments="grid:4x4")


def by_name(result):
    return {score.name: score for score in result.scores}


def test_no_method_exceeds_the_budget_counted_at_the_model(result):
    for score in result.scores:
        assert score.status == ("degenerate" if np.ptp(result.maps[score.name]) == 0 else "ok")
        assert score.cost == score.n_forward + 2 * score.n_backward <= 61
    costs = {name: score.cost for name, score in by_name(result).items()}
    assert costs["captum.Lime"] == costs["captum.KernelShap"] == costs["lime.Image"] == 61
    assert costs["captum.Saliency"] == 3
    assert costs["captum.DeepLift"] == costs["captum.GuidedGradCam"] == 6
    assert costs["center"] == 0


def test_maps_are_densities_of_the_shape_that_the_model_sees(result):
    assert set(result.maps) == {score.name for score in result.scores}
    for values in result.maps.values():
        assert values.shape == (32, 32)
        assert np.isfinite(values).all()


def test_kernel_shap_and_integrated_gradients_sum_to_the_gain(result):
    gain = result.scene.f_input - result.scene.f_baseline
    assert result.maps["captum.KernelShap"].sum() == pytest.approx(gain, rel=1e-3)
    assert result.maps["kernelshap"].sum() == pytest.approx(gain, rel=1e-5)
    assert result.maps["stratified_lime"].sum() != pytest.approx(gain, rel=1e-3)
    assert result.maps["captum.IntegratedGradients"].sum() == pytest.approx(gain, rel=0.05)


def test_ours_equals_the_captum_class_called_by_hand(result):
    from xai_ext.attr import StratifiedLime

    scene = result.scene
    explanation = StratifiedLime(scene.classifier.module).explain(
        scene.x, scene.baseline, scene.target, feature_mask=torch.from_numpy(scene.labels), n_samples=61, seed=1,
        perturbations_per_eval=None,
    )[0]  # fmt: skip
    ours = result.maps["stratified_lime"]
    correlation = np.corrcoef(ours.ravel(), explanation.density_map().ravel())[0, 1]
    assert correlation > 0.9  # another seed of the same estimator
    assert by_name(result)["stratified_lime"].std_error_max > 0


def test_deletion_and_insertion_are_those_of_the_metric(result):
    from xai_ext.metrics import deletion, insertion

    scene, maps = result.scene, torch.from_numpy(result.maps["captum.Lime"])[None]
    for name, metric in (("deletion", deletion), ("insertion", insertion)):
        expected = metric(scene.classifier.module, scene.x, maps, scene.baseline, target=scene.target)
        assert by_name(result)["captum.Lime"].metrics[name] == pytest.approx(float(expected), abs=1e-5)


def test_curves_of_the_first_run_have_the_areas_of_the_table(result):
    for name in ("captum.Saliency", "center"):
        for kind in ("deletion", "insertion"):
            shares, scores = result.curves[name][kind]
            assert np.trapezoid(scores, shares) == pytest.approx(by_name(result)[name].metrics[kind], rel=1e-6)
            assert {scores[0], scores[-1]} == {np.float64(result.scene.f_input), np.float64(result.scene.f_baseline)}


def test_the_same_seed_gives_the_same_numbers_whatever_else_is_compared(result):
    with GeneratorsUntouched():
        alone = compare(model=MODEL, methods="lime,stratified_lime", budget=61, segments="grid:4x4")
    for name, values in alone.maps.items():
        np.testing.assert_allclose(values, result.maps[name], atol=1e-6)
    other = compare(model=MODEL, methods="stratified_lime", budget=61, segments="grid:4x4", seed=1)
    assert np.abs(other.maps["stratified_lime"] - result.maps["stratified_lime"]).max() > 1e-6


def test_random_references_are_means_over_draws():
    score = compare(model=MODEL, methods="random_segments", segments="grid:3x3").scores[0]
    assert score.cost == 0
    assert score.runs == 10
    assert score.std_errors["srg"] > 0


def test_every_metric_has_a_standard_error(result):
    for score in result.scores:
        assert set(score.std_errors) == set(score.metrics)
        deterministic = not next(m for m in all_methods() if m.name == score.name).draws
        assert score.runs == (1 if deterministic else 3)
        assert all(error == 0 for error in score.std_errors.values()) == deterministic
    single = compare(model=MODEL, methods="stratified_lime", budget=61, segments="grid:4x4", repeats=1).scores[0]
    assert not single.std_errors  # one draw says nothing about its error


def test_a_mean_over_runs_has_the_standard_error_of_its_runs():
    found = [compare(model=MODEL, methods="captum.Lime", budget=61, segments="grid:4x4", repeats=n) for n in (1, 2, 3)]
    totals = [n * f.scores[0].metrics["srg"] for n, f in enumerate(found, start=1)]
    runs = np.diff([0, *totals])
    assert found[2].scores[0].std_errors["srg"] == pytest.approx(runs.std(ddof=1) / 3**0.5, rel=1e-6)


def test_agreement_stands_beside_its_floor(result):
    found = result.agreement
    assert found.names == tuple(score.name for score in result.scores)
    floor = dict(zip(found.names, found.floor, strict=True))
    assert floor["captum.Saliency"] == floor["center"] == 1
    assert 0 < floor["stratified_lime"] < 1
    np.testing.assert_array_equal(found.matrix, found.matrix.T)
    i, j = (found.names.index(name) for name in ("captum.Saliency", "captum.IntegratedGradients"))
    labels = result.scene.labels
    means = [[result.maps[found.names[k]][labels == r].mean() for r in range(16)] for k in (i, j)]
    assert found.matrix[i, j] == pytest.approx(spearmanr(*means).statistic, abs=1e-12)


def test_the_built_in_photo_has_its_outline(result):
    assert result.scene.truth is not None
    assert {"iou", "pointing_game"} <= set(by_name(result)["center"].metrics)


def test_a_scalar_model_has_no_target_and_no_layer():
    result = compare(model="tests.tiny_models:scalar", methods="ours,captum.*", budget=40, segments="grid:2x2")
    assert result.scene.target is None
    status = {score.name: score.status for score in result.scores}
    assert status["stratified_lime"] == "ok"
    assert status["captum.LayerGradCam"] == "unsupported"


def test_a_method_that_fails_does_not_cost_the_others():
    result = compare(model=MODEL, methods=["rise", "center", broken()], budget=30)
    scores = by_name(result)
    assert (scores["broken"].status, scores["broken"].note) == ("failed", "RuntimeError: broken")
    assert "on purpose" in scores["broken"].error
    assert scores["rise"].status == scores["center"].status == "ok"
    assert "Failed: broken." in result.verdict


def test_methods_without_gradients_are_unsupported():
    result = compare(model="tests.tiny_models:opaque", methods="gradient,center", budget=30)
    assert {s.status for s in result.scores if s.name != "center"} == {"unsupported"}


def test_a_budget_below_the_least_is_skipped_with_the_least():
    (score,) = compare(model=MODEL, methods="captum.FeatureAblation", budget=10, segments="grid:4x4").scores
    assert score.status == "skipped"
    assert "at least 17" in score.note


class TestHosts:
    METHODS = "captum.DeepLift,captum.InputXGradient,captum.GuidedBackprop,captum.LRP"

    @pytest.fixture
    def both(self):
        model = "tests.tiny_models:relu6"
        return [by_name(compare(model=model, methods=self.METHODS, hosts=h)) for h in ("as-is", "prepared")]

    def test_as_is_captum_is_silently_wrong_and_we_say_so(self, both):
        scores = both[0]
        assert scores["captum.DeepLift"].status == "degenerate"
        assert scores["captum.DeepLift"].completeness_gap > 0.01
        assert scores["captum.InputXGradient"].same_as == "captum.DeepLift" or (
            scores["captum.DeepLift"].same_as == "captum.InputXGradient"
        )
        assert scores["captum.GuidedBackprop"].status == scores["captum.LRP"].status == "unsupported"

    def test_prepared_they_are_what_they_say(self, both):
        scores = both[1]
        assert scores["captum.DeepLift"].status == "ok"
        assert scores["captum.DeepLift"].completeness_gap < 1e-4
        assert not any(s.same_as for s in scores.values())
        assert scores["captum.GuidedBackprop"].status == "ok"


class TestTargets:
    def test_each_has_a_result_and_shares_the_scene(self):
        result = compare(model=MODEL, methods="captum.Saliency,center", target="top2,ant")
        every = (result, *result.further)
        found = [r.scene.target for r in every]
        outputs = result.scene.outputs
        assert found[:2] == np.argsort(-outputs)[:2].tolist()
        assert set(found) == {*found[:2], 0}
        for r in every:
            assert r.scene.f_input == pytest.approx(outputs[r.scene.target], rel=1e-6)
            assert r.scene.labels is result.scene.labels
        named = [result.scene.classifier.name_of(i) for i in found[:2]]
        assert [name for name, _ in result.top[:2]] == named
        assert len(result.top) == 4
        assert (result.maps["captum.Saliency"] != result.further[0].maps["captum.Saliency"]).any()

    def test_the_others_change_no_number(self):
        alone = compare(model=MODEL, methods="rise", target="cow", budget=40, batch_size=4)
        among = compare(model=MODEL, methods="rise", target="ant,cow", budget=40, batch_size=4).further[0]
        np.testing.assert_array_equal(alone.maps["rise"], among.maps["rise"])
        assert alone.scores[0].values == among.scores[0].values


def timeless(result):
    """What must not depend on when it ran."""
    from xai_ext.study.output import as_json

    found = as_json(result)
    found["totals"] = {k: v for k, v in found["totals"].items() if k in ("rows", "metric_rows")}
    found["methods"] = {
        m["name"]: {k: v for k, v in m.items() if k not in ("seconds", "model_seconds", "overhead")}
        for m in found["methods"]
    }
    return found


def test_the_same_seed_gives_the_same_bits_whatever_else_is_compared():
    fixed = {"model": MODEL, "budget": 40, "segments": "grid:4x4", "batch_size": 4, "threads": 1, "repeats": 2}
    first, again, other = (
        timeless(compare(methods=m, **fixed)) for m in (FAST, FAST, "center,lime,captum.Lime,stratified_lime")
    )
    assert first == again
    assert set(other["methods"]) < set(first["methods"])
    for name, row in other["methods"].items():
        assert row == first["methods"][name]
    assert other["config_hash"] == first["config_hash"]


def test_settings_make_a_method_of_their_own():
    result = compare(model=MODEL, methods="rise,rise:cells=3;estimator=rise", budget=40)
    assert list(result.maps) == ["rise", "rise:cells=3;estimator=rise"]
    assert np.abs(result.maps["rise"] - result.maps["rise:cells=3;estimator=rise"]).max() > 0


def test_rows_are_counted_as_they_were_planned():
    exact = "rise,captum,-captum.LRP,lime,reference"
    # an even budget: of an odd one RISE's pairs of masks leave an evaluation
    options = {"model": MODEL, "budget": 60, "segments": "grid:4x4", "repeats": 2}
    with set_up(Config(**options), choose_methods(exact)) as setup:
        result = compare(methods=exact, **options)
        curve = 2 + 2 * 27
        for method, score in zip(setup.methods, result.scores, strict=True):
            assert score.cost == setup.planned(method) - curve
            assert score.metric_rows <= score.runs * curve  # fewer where positions tie
        assert setup.total == sum((s.cost + curve) * s.runs for s in result.scores)
        assert f"{setup.total} evaluations at most" in setup.table()


def test_deletion_and_insertion_have_their_own_baseline():
    same, other = (
        compare(model=MODEL, methods="center", metric_baseline=b).scores[0].metrics["deletion"] for b in (None, "black")
    )
    assert same != other


def test_probabilities_cost_no_second_run(result):
    row = by_name(result)["center"]
    assert {"srg", "srg@prob"} <= set(row.metrics)
    assert row.metric_rows == 2 + 2 * 27
    assert row.metrics["srg@prob"] == pytest.approx(row.metrics["insertion@prob"] - row.metrics["deletion@prob"])


class TestInterrupted:
    def test_what_is_finished_is_kept(self):
        timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        before = signal.getsignal(signal.SIGINT)
        result = compare(model=MODEL, methods=["center", "captum.Saliency", slow()])  # dearest last
        status = {s.name: s.status for s in result.scores}
        assert status == {"center": "ok", "captum.Saliency": "ok", "slow": "interrupted"}
        assert result.interrupted is signal.SIGINT
        assert set(result.maps) == {"center", "captum.Saliency"}
        assert signal.getsignal(signal.SIGINT) is before

    def test_a_method_keeps_the_runs_it_had(self):
        from xai_ext.study._score import score_of
        from xai_ext.study.unit import UnitResult

        (method,) = choose_methods("rise")
        runs = [UnitResult(method, i, "ok", np.ones((2, 2)), {"srg": float(i)}) for i in range(2)]
        score = score_of(method, runs, planned=3, gain=1.0)
        assert (score.status, score.runs, score.metrics["srg"]) == ("ok", 2, 0.5)
        assert score.note == "interrupted after 2 of 3 runs"


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (MODEL, {"target": "ant", "baseline": "image:coffee"}, "and no more"),
        ("tests.tiny_models:opaque", {}, "in the baseline too"),
    ],
)
def test_a_baseline_that_explains_nothing_is_warned_of(model, options, said):
    result = compare(model=model, methods="center", **options)
    assert any(said in w for w in result.warnings)


def test_the_users_model_is_left_as_it_was(monkeypatch):
    classifier = conv()
    state = {k: v.clone() for k, v in classifier.module.state_dict().items()}
    monkeypatch.setattr(sys.modules["xai_ext.study.compare"], "load", lambda name: classifier)
    compare(methods=FAST, budget=30)
    assert all(torch.equal(v, state[k]) for k, v in classifier.module.state_dict().items())
    assert not any(p.grad is not None for p in classifier.module.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in classifier.module.modules())
    assert not any(isinstance(m, nn.Module) and m.training for m in classifier.module.modules())


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="budgt"):
        compare(budgt=3)


def test_the_bar_is_shown_on_request(capsys):
    compare(model=MODEL, methods="center", progress="bar")
    assert "center" in capsys.readouterr().err


@pytest.mark.slow
def test_shap_partition_sums_to_the_gain_within_budget():
    result = compare(model=MODEL, methods="shap", budget=41)
    assert result.scores[0].cost == 40
    gain = result.scene.f_input - result.scene.f_baseline
    assert result.maps["shap.Partition"].sum() == pytest.approx(gain, abs=1e-4)
