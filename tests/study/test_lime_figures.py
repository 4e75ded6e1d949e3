"""LIME as it is taught: the numbers behind the figures, and what is drawn."""

import json

import numpy as np
import pytest
from sklearn.linear_model import Lasso, Ridge

from tests.tiny_models import PREPROCESS, conv
from xai_ext._task import CountedModel
from xai_ext.study import inputs
from xai_ext.study.lime_figures import Settings, figure, lime_figures, numbers, save, table

SETTINGS = Settings(images=("chelsea",), model="tests.study.test_lime_figures:counted", budget=202, segments="grid:5x5")
COUNTED = []


def counted():
    classifier = conv()
    COUNTED.append(CountedModel(classifier.module))
    return type(classifier)(COUNTED[-1].eval(), PREPROCESS, classifier.class_names, "logits")


@pytest.fixture(scope="module")
def sheet():
    return lime_figures(SETTINGS)[0]


def rows(sheet):
    """Coalitions, scores and lime's weights, the input and the baseline first."""
    z = np.concatenate([np.ones((1, 25), bool), np.zeros((1, 25), bool), sheet.coalitions])
    y = np.concatenate([[sheet.explanation.full_value], [sheet.explanation.base_value], sheet.scores])
    return z, y, np.exp(-((1 - np.sqrt(z.mean(1))) ** 2) / (2 * 0.25**2))


def test_one_set_of_evaluations_serves_three_classes(sheet):
    assert sheet.explanation.n_evals == 202
    assert sheet.explanation.diagnostics["law"] == "Bernoulli(p=0.5)"
    assert sheet.scores.shape == sheet.losses().shape == (200, 3)
    largest = 2**23 // (4 * 3 * 32 * 32)  # rows of 8 MB
    timed = 2 * (1 + 1 + 4 + 16 + 64 + 256 + largest) + 100  # at most: batch sizes and threads are measured too
    assert 202 <= COUNTED[0].n_forward <= 202 + timed


def test_the_classes_are_the_three_likeliest(sheet):
    scores = conv().module(PREPROCESS(inputs.read_image("chelsea")))[0].detach().numpy()
    assert sheet.class_names == [conv().class_names[i] for i in np.argsort(-scores)[:3]]
    np.testing.assert_allclose(sheet.explanation.full_value, np.sort(scores)[:0:-1], rtol=1e-5)


@pytest.mark.parametrize("surrogate", ["lasso", "ridge"])
def test_coefficients_and_losses_are_scikit_learns(surrogate):
    (sheet,) = lime_figures(SETTINGS, surrogate=surrogate)
    z, y, w = rows(sheet)
    for i in range(3):
        mean = np.average(y[:, i], weights=w)
        sd = np.sqrt(np.average((y[:, i] - mean) ** 2, weights=w)) if surrogate == "lasso" else 1.0
        model = Lasso(0.01, tol=1e-10, max_iter=10**5) if surrogate == "lasso" else Ridge(1.0)
        model.fit(z, (y[:, i] - mean) / sd, sample_weight=w)
        np.testing.assert_allclose(sheet.explanation.values[:, i], model.coef_ * sd, atol=1e-9)
        residuals = sheet.scores[:, i] - mean - sd * model.predict(sheet.coalitions)
        np.testing.assert_allclose(sheet.losses()[:, i], residuals**2, atol=1e-12)
        np.testing.assert_allclose(sheet.losses(absolute=True)[:, i], np.abs(residuals), atol=1e-9)
        np.testing.assert_allclose(numbers(sheet)["classes"][i]["loss_quartiles"][1], np.median(residuals**2))


def test_the_figure_holds_the_whole_set(sheet):
    axes = figure(sheet, SETTINGS).axes
    photo, borders, perturbation, *for_classes = axes[:6]
    assert all(name in photo.get_title() for name in sheet.class_names)
    assert borders.get_title() == "25 superpixels"
    assert f"{sheet.coalitions[0].sum()} of 25 are kept" in perturbation.get_title()
    assert [ax.get_title().split(":")[0] for ax in for_classes] == [f"for {name}" for name in sheet.class_names]
    shown = np.asarray(for_classes[0].images[0].get_array())
    positive = (sheet.explanation.values[:, 0] > 0)[sheet.explanation.labels[0]]
    np.testing.assert_array_equal(shown[~positive], 0.5)
    np.testing.assert_allclose(shown[positive], sheet.pixels[positive] / 255)
    drawn = {
        "perturbation scores (logit)": sheet.scores,
        "losses of the surrogate (squared)": sheet.losses(),
        "f(x) - perturbation score (logit)": sheet.explanation.full_value - sheet.scores,
    }
    assert [ax.get_title() for ax in axes[6:]] == list(drawn)
    for ax, values in zip(axes[6:], drawn.values(), strict=True):
        boxes = [np.unique(patch.get_path().vertices[:, 1])[[0, -1]] for patch in ax.patches]
        np.testing.assert_allclose(boxes, np.quantile(values, [0.25, 0.75], axis=0).T, rtol=1e-6)


def test_absent_superpixels_are_what_the_baseline_looks_like(sheet):
    assert (np.abs(sheet.hidden.astype(int) - 128) <= 1).all()  # 0 in the model's input space
    (white,) = lime_figures(SETTINGS, baseline="white")
    assert (white.hidden == 255).all()


def test_it_is_saved_and_can_be_read_again(sheet, tmp_path):
    paths = save([sheet, sheet], SETTINGS, tmp_path)
    assert [p.name for p in paths] == ["result.json", "chelsea.png", "chelsea-2.png"]
    saved = json.loads(paths[0].read_text())
    assert saved["settings"]["budget"] == saved["photos"][0]["evaluations"] == 202
    assert [c["class"] for c in saved["photos"][0]["classes"]] == sheet.class_names
    assert all(name in table([sheet]) for name in sheet.class_names)


def test_a_model_of_one_score_has_one_class(tmp_path):
    (sheet,) = lime_figures(SETTINGS, model="tests.tiny_models:scalar")
    assert sheet.class_names == ["score"]
    assert sheet.scores.shape == (200, 1)
    save([sheet], SETTINGS, tmp_path)


def test_an_unknown_surrogate_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'ridge'"):
        lime_figures(SETTINGS, surrogate="rigde")
