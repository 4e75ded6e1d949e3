"""One image, every method."""

import sys

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from tests.laws import GeneratorsUntouched
from tests.tiny_models import conv
from xai_ext.study import compare
from xai_ext.study.methods import all_methods

MODEL = "tests.tiny_models:conv"
FAST = "ours,captum,lime,center"  # shap's first explanation compiles for seconds


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
    single = compare(model=MODEL, methods="stratified_lime", budget=61, segments="grid:4x4", runs=1).scores[0]
    assert not single.std_errors  # one draw says nothing about its error


def test_a_mean_over_runs_has_the_standard_error_of_its_runs():
    found = [compare(model=MODEL, methods="captum.Lime", budget=61, segments="grid:4x4", runs=n) for n in (1, 2, 3)]
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
    result = compare(model="tests.tiny_models:opaque", methods="captum.Saliency,ours,center", budget=30)
    status = {score.name: (score.status, score.note) for score in result.scores}
    assert status["captum.Saliency"][0] == "failed"
    assert "RuntimeError" in status["captum.Saliency"][1]
    assert status["stratified_lime"][0] == "ok"


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
