"""Images, segmentations and models at the edge, through Captum, SHAP and lime: the right answer or a clear message."""

import contextlib
import io
import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso, LinearRegression

from xai_ext import attr, explainers
from xai_ext._checks import InputError
from xai_ext.lime_image import StratifiedLimeImageExplainer
from xai_ext.maskers import Segments
from xai_ext.methods.lime import Linear, Ridge

SIDE = 12


def squares(rows=3):
    cell = np.arange(SIDE) * rows // SIDE
    return cell[:, None] * rows + cell


class Sums:
    """Scores that add up over regions: what each of them is worth is known exactly."""

    def __init__(self, labels, channels=3, outputs=2):
        self.labels, self.outputs = labels, outputs
        self.image = np.random.default_rng(0).uniform(0.2, 1, (SIDE, SIDE, channels))
        self.weights = np.random.default_rng(1).normal(size=(SIDE, SIDE, channels))
        self.n = len(np.unique(labels))

    def __call__(self, images):
        """Rows (k, H, W, C) -> (k, 2); one output: (k,)."""
        score = (np.asarray(images, float) * self.weights).sum((1, 2, 3))
        return score if self.outputs == 1 else np.stack([score, -2 * score], 1)

    @property
    def truth(self):
        ids = np.unique(self.labels, return_inverse=True)[1].ravel()
        return np.bincount(ids, (self.image * self.weights).sum(2).ravel())


def captum(case, surrogate, samples=100):
    def forward(x):
        return torch.from_numpy(case(x.movedim(1, -1).numpy()))

    x = torch.from_numpy(case.image).movedim(-1, 0)[None]
    found = attr.StratifiedLime(forward, surrogate).attribute(
        x, target=None if case.outputs == 1 else 0, feature_mask=torch.from_numpy(case.labels), n_samples=samples,
        perturbations_per_eval=50, return_input_shape=False, seed=0,
    )  # fmt: skip
    return found[0].numpy()


def shaps(case, surrogate, samples=100):
    masker = Segments(case.image, 0.0, case.labels)
    explainer = explainers.StratifiedLime(case, masker, surrogate=surrogate, seed=0)
    found = explainer(case.image[None], max_evals=samples, batch_size=50, silent=True).details[0].values
    return found if case.outputs == 1 else found[:, 0]


def limes(case, surrogate, samples=100):
    regressor = {Linear: LinearRegression, Ridge: lambda: None}.get(type(surrogate), lambda: surrogate)()
    with contextlib.redirect_stderr(io.StringIO()):
        found = StratifiedLimeImageExplainer(random_state=0).explain_instance(
            case.image, case, labels=(0,), top_labels=None, hide_color=0, num_samples=samples, batch_size=50,
            segmentation_fn=lambda _: case.labels, model_regressor=regressor,
        )  # fmt: skip
    values = np.zeros(case.n)
    for segment, value in found.local_exp[0]:
        values[segment] = value
    return values


hosts = pytest.mark.parametrize("host", [captum, shaps, limes])


@hosts
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("channels", [1, 3, 8])
def test_grey_and_8_channel_images_and_models_of_one_score(host, channels, outputs):
    case = Sums(squares(), channels, outputs)
    np.testing.assert_allclose(host(case, Linear()), case.truth, atol=1e-8)


@hosts
def test_segments_that_start_at_1(host):
    case = Sums(squares() + 1)
    values = host(case, Linear())
    assert values.shape == (9,)
    np.testing.assert_allclose(values, case.truth, atol=1e-8)


@hosts
def test_one_segment(host):
    case = Sums(np.zeros((SIDE, SIDE), int))
    np.testing.assert_allclose(host(case, Linear()), case.truth, atol=1e-9)
    with pytest.warns(UserWarning, match="the penalty of the ridge takes 98% of a typical coefficient"):
        shrunk = host(case, Ridge(1.0))
    # lime's kernel: 98 or 99 draws of 1, half of them hidden, weigh exp(-8) each
    np.testing.assert_allclose(shrunk, case.truth * 49 * np.exp(-8) / (1 + 49 * np.exp(-8)), rtol=0.05)


@hosts
def test_2000_segments(host, monkeypatch):
    monkeypatch.setattr(__name__ + ".SIDE", 48)
    case = Sums(np.minimum(np.arange(48 * 48), 1999).reshape(48, 48))
    case.weights[:] = 0
    case.weights[0, 5] = 10.0
    values = host(case, Ridge(1.0), samples=200)
    assert values.shape == (2000,)
    assert np.argmax(values) == 5
    assert values[5] > 3 * np.sort(values)[-2]


@hosts
def test_a_surrogate_that_is_all_zeros_is_not_silent(host):
    with pytest.warns(UserWarning, match="all coefficients are 0: .* penalty of .* is too strong"):
        values = host(Sums(squares()), Lasso(1e6))
    assert not values.any()


@hosts
def test_a_surrogate_that_is_not_says_nothing(host):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        host(Sums(squares()), Ridge(1.0))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_lime_segments_images_of_any_channels_by_itself(channels):
    image = np.random.default_rng(0).random((12, 14, channels))
    explainer = StratifiedLimeImageExplainer(random_state=0)
    found = explainer.explain_instance(image, lambda x: x.mean((1, 2, 3)), labels=(0,), top_labels=None, num_samples=20)
    assert found.segments.shape == (12, 14)


def test_a_label_beyond_the_classifiers_outputs_is_refused():
    explainer = StratifiedLimeImageExplainer(random_state=0)
    with pytest.raises(InputError, match="labels must index the classifier's 1 outputs, got 1"):
        explainer.explain_instance(np.ones((4, 4, 3)), lambda x: x.mean((1, 2, 3)), labels=(1,), top_labels=None)
