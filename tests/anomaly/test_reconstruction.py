"""Reconstruction scores, in themselves and through the hosts."""

import json
import pickle

import numpy as np
import pytest
import shap
import torch
from captum.attr import FeatureAblation, IntegratedGradients
from torch import nn

from tests.anomaly.worlds import Blurring, images
from xai_ext.anomaly import VAEGAN, AnomalyScore, DetectorScore, ReconstructionScore, TopK, normal_deviations
from xai_ext.attr import BPTOwen
from xai_ext.explainers import BPTOwen as ShapBPTOwen
from xai_ext.lime_image import StratifiedLimeImageExplainer
from xai_ext.maskers import BPT
from xai_ext.models import as_numpy_function


class Fixed(nn.Module):
    """Reconstructs everything as one image."""

    def __init__(self, image):
        super().__init__()
        self.image = nn.Parameter(image)

    def forward(self, x):
        return self.image.expand_as(x)


COLOUR = torch.tensor([[0.9, 0.1], [0.5, 0.4], [0.2, 0.3]])[None, :, None]  # (1, 3, 1, 2)
GREY = torch.full((1, 3, 1, 2), 0.4)


@pytest.mark.parametrize(
    ("residual", "expected"),
    [
        ("abs_max", [0.5, 0.3]),
        ("sq_sum", [0.25 + 0.01 + 0.04, 0.09 + 0 + 0.01]),
        ("sq_mean", [0.1, 0.1 / 3]),
        ("abs_mean", [0.8 / 3, 0.4 / 3]),
        ("l2", [0.3**0.5, 0.1**0.5]),
        ("gs_max", [0.5, 0.0]),
        ("luma", [0.299 * 0.5 + 0.587 * 0.1 - 0.114 * 0.2, 0.299 * 0.3 + 0.114 * 0.1]),
    ],
)
def test_two_pixels_by_hand(residual, expected):
    found = ReconstructionScore(Fixed(GREY), residual=residual).map(COLOUR)
    np.testing.assert_allclose(found[0, 0, 0].detach(), expected, atol=1e-7)


def test_the_score_is_the_reducer_of_the_map_and_the_reference_the_reconstruction():
    score, x = ReconstructionScore(Blurring(), reduce=TopK(3)), images()
    assert torch.equal(score(x), score.map(x).flatten(1).topk(3).values.mean(1))
    assert torch.equal(score.reference(x), score.model(x).detach())
    assert not score.reference(x).requires_grad


class Tuple(Blurring):
    def forward(self, x):
        return torch.zeros(len(x), 3), super().forward(x)


class Image(nn.Module):
    def forward(self, x):
        return {"image": x / 2}


def test_of_a_tuple_the_part_of_the_inputs_shape_is_the_reconstruction():
    x = images()
    assert torch.equal(ReconstructionScore(Tuple())(x), ReconstructionScore(Blurring())(x))


def test_other_outputs_need_decode():
    with pytest.raises(ValueError, match="decode="):
        ReconstructionScore(Image())(images())
    torch.testing.assert_close(ReconstructionScore(Image(), decode=lambda o: o["image"])(images()),
                               images().flatten(1).amax(1) / 2)  # fmt: skip


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.randn(x.shape)


@pytest.mark.parametrize("model", [Noisy(), VAEGAN(size=8).eval()], ids=["any module", "VAEGAN"])
def test_fixed_noise_makes_a_stochastic_model_deterministic_and_rows_independent(model):
    score, x = ReconstructionScore(model, stochastic="mc:3"), images(3, height=8, width=8)
    assert score.info.cost_per_row == 3
    info = score.probe(x)
    assert info.deterministic
    assert info.batch_invariant
    other = ReconstructionScore(model, stochastic="mc:3", seed=1)
    assert not torch.equal(other(x), score(x))


def test_without_fixed_noise_it_is_refused():
    with pytest.raises(ValueError, match="mc:k"):
        ReconstructionScore(Noisy()).probe(images())


def test_half_precision_is_scored_in_single():
    score = ReconstructionScore(Fixed(GREY.half()), residual="sq_sum", reduce="sum")
    assert score(COLOUR.half()).dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "match"),
    [({"residual": "l1"}, "residual must be one of"), ({"smooth": -1.0}, "smooth"), ({"stochastic": "mc"}, "mc:k"),
     ({"reduce": "largest"}, "reduce must be one of")],
)  # fmt: skip
def test_bad_options_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        ReconstructionScore(Blurring(), **options)


def test_luma_of_one_channel_is_its_difference_and_other_images_have_none():
    found = ReconstructionScore(Fixed(GREY[:, :1]), residual="luma").map(COLOUR[:, :1])
    np.testing.assert_allclose(found[0, 0, 0].detach(), [0.5, 0.3], atol=1e-7)
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        ReconstructionScore(Fixed(GREY[:, :2]), residual="luma").map(COLOUR[:, :2])


def test_rows_that_are_no_images_have_no_residual():
    with pytest.raises(ValueError, match=r"must be \(N, C, H, W\) of one shape"):
        ReconstructionScore(nn.Identity())(torch.ones(2, 3))


def test_a_model_is_a_module():
    with pytest.raises(TypeError, match="model must be a torch module, got function"):
        ReconstructionScore(lambda x: x)


def test_a_reference_of_the_users_comes_before_the_reconstruction():
    score, x = ReconstructionScore(Blurring(), reference=torch.zeros_like), images()
    assert not score.reference(x).any()


class TestDeviations:
    """Differences in units of what normals show."""

    above, below = 0.4 * torch.ones(3, 1, 2), 0.1 * torch.ones(3, 1, 2)

    @pytest.mark.parametrize(
        ("residual", "expected"),  # of the differences .5 .1 -.2 and -.3 0 -.1: those above by .4, those below by .1
        [("abs_max", [2, 3]), ("sq_sum", [1.25**2 + 0.25**2 + 4, 9 + 1]), ("abs_mean", [3.5 / 3, 4 / 3]),
         ("luma", [abs(0.299 * 1.25 + 0.587 * 0.25 - 0.114 * 2), 0.299 * 3 + 0.114])],
    )  # fmt: skip
    def test_what_lies_above_and_below_is_divided_by_its_own(self, residual, expected):
        score = ReconstructionScore(Fixed(GREY), residual=residual, deviations=torch.stack([self.above, self.below]))
        np.testing.assert_allclose(score.map(COLOUR)[0, 0, 0].detach(), expected, rtol=1e-5)
        assert score.info.unit == f"residual {residual} in deviations of normals"

    def test_a_side_weighs_as_much_as_both_sides_together(self):
        normals = torch.tensor([0.3, -0.1]).reshape(2, 1, 1, 1).expand(2, 1, 4, 4)
        found = normal_deviations(torch.zeros_like, normals)
        above, below, both = 0.3**2 / 2, 0.1**2 / 2, (0.3**2 + 0.1**2) / 4
        expected = [(above * both) ** 0.25, (below * both) ** 0.25]
        np.testing.assert_allclose(found[:, 0].mean((1, 2)), expected, rtol=1e-6)
        assert torch.equal(found, normal_deviations(torch.zeros_like, normals, batch_size=1))

    def test_places_where_normals_differ_more_have_larger_ones_but_none_vanishes(self):
        normals = torch.zeros(1, 1, 64, 64)
        normals[..., 32:] = 1
        found = normal_deviations(torch.zeros_like, normals)
        across = found[0, 0, 0]
        assert (across.diff() >= 0).all()
        assert float(across[-1]) == pytest.approx(0.5**0.25, rel=1e-6)  # all is above: 1, and 1/2 of both sides
        assert float(found.min()) >= 0.1 * 0.5**0.25 / 4  # a tenth of the mean: of two sides one, of that a half
        assert torch.equal(normal_deviations(lambda x: x, normals), torch.ones(2, 1, 64, 64))

    def test_the_models_own_are_taken_unless_refused(self):
        network, x = VAEGAN(size=16).eval(), images(3, height=16, width=16)
        plain = ReconstructionScore(network).map(x)
        network.normal_deviations = torch.full((2, 1, 16, 16), 0.5)
        torch.testing.assert_close(ReconstructionScore(network).map(x), 2 * plain)
        torch.testing.assert_close(ReconstructionScore(network, deviations=None).map(x), plain)
        maxima = ReconstructionScore(network, residual="gs_max").map(x)  # of one channel, undivided
        torch.testing.assert_close(maxima, plain)

    def test_closed_form_and_frozen_game_are_those_of_the_divided_map(self):
        score = ReconstructionScore(Fixed(GREY), reduce="sum", deviations=torch.stack([self.above, self.below]))
        (explained,) = score.closed_form(COLOUR)
        np.testing.assert_allclose(explained.values, [2, 3], rtol=1e-6)
        assert float(score.frozen()(COLOUR, GREY)) == pytest.approx(5)

    @pytest.mark.parametrize(
        ("options", "match"),
        [({"deviations": torch.zeros(2, 3, 1, 2)}, "positive"), ({"deviations": torch.ones(3, 1, 2)}, "2, C, H, W"),
         ({"deviations": "network"}, "must be one of"), ({"deviations": torch.ones(2, 3, 1, 2), "residual": "gs_max"},
          "compares maxima"), ({"deviations": torch.ones(2, 1, 8, 8)}, "images must be")],
    )  # fmt: skip
    def test_deviations_that_do_not_fit_are_refused(self, options, match):
        with pytest.raises(ValueError, match=match):
            ReconstructionScore(Fixed(GREY), **options)(COLOUR)


class TestHosts:
    """One score through Captum, SHAP and lime."""

    score = ReconstructionScore(Blurring(3), reduce=TopK(5))

    @property
    def x(self):
        x = torch.full((1, 3, 12, 12), 0.5)
        x[:, :, 4:6, 7:9] = torch.tensor([1.0, 0.0])
        return x

    def arrays(self):
        return tuple(np.ascontiguousarray(t[0].movedim(0, -1)) for t in (self.x, self.score.reference(self.x)))

    def test_owen_values_sum_to_the_difference_and_both_hosts_agree(self):
        x = self.x
        captums = BPTOwen(self.score).attribute(x, baselines=self.score.reference, n_samples=60)
        gap = float(self.score(x).detach() - self.score(self.score.reference(x)).detach())
        assert float(captums.sum()) == pytest.approx(gap, abs=1e-5)
        image, reference = self.arrays()
        shaps = ShapBPTOwen(as_numpy_function(self.score), BPT(image, baseline=reference))
        values = shaps(image[None], max_evals=60, silent=True).values
        np.testing.assert_allclose(values.sum(-1)[0], captums[0].sum(0), atol=1e-6)

    def test_shaps_own_explainer_takes_it(self):
        image, reference = self.arrays()
        f = as_numpy_function(self.score)
        for masker in (BPT(image, baseline=reference), shap.maskers.Image(reference, image.shape)):
            explanation = shap.Explainer(f, masker)(image[None], max_evals=60, silent=True)
            assert explanation.values.sum() == pytest.approx(float(f(image[None])[0] - f(reference[None])[0]), abs=1e-5)

    def test_limes_image_explainer_takes_it_and_finds_the_defect(self):
        image, reference = self.arrays()
        segments = np.arange(144).reshape(12, 12) // 48
        explainer = StratifiedLimeImageExplainer(random_state=0)
        found = explainer.explain_instance(
            image.astype(np.double), as_numpy_function(self.score), labels=(0,), top_labels=None,
            hide_color=reference.mean(), num_samples=30, segmentation_fn=lambda _: segments,
        )  # fmt: skip
        assert max(found.local_exp[0], key=lambda p: p[1])[0] == 1  # rows 4 to 7

    def test_captums_own_methods_find_the_defect(self):
        x, cells = self.x, torch.arange(16).reshape(4, 4).repeat_interleave(3, 0).repeat_interleave(3, 1)
        mask = torch.zeros(12, 12, dtype=torch.bool)
        mask[3:7, 6:10] = True  # the defect and its neighbours, which the mean of 3 x 3 touches
        reference = torch.full_like(x, 0.5)
        gradients = IntegratedGradients(self.score).attribute(x, reference, n_steps=10)[0].sum(0)
        assert mask.flatten()[gradients.argmax()]
        ablation = FeatureAblation(self.score).attribute(x, reference, feature_mask=cells[None, None])[0].sum(0)
        assert mask.flatten()[ablation.argmax()]


class TestSaving:
    @pytest.fixture(autouse=True)
    def _needs_safetensors(self):
        pytest.importorskip("safetensors", reason="safetensors, of the extra `anomaly`, is not installed")

    def test_a_score_comes_back_with_threshold_bank_and_settings(self, tmp_path):
        x = images(30, height=8, width=8)
        options = {"residual": "l2", "reduce": TopK(3), "smooth": 0.5, "deviations": 0.5 + torch.rand(2, 1, 8, 8)}
        score = ReconstructionScore(VAEGAN(size=8).eval(), **options).calibrate(x, 0.1)
        score.save(tmp_path)
        other = AnomalyScore.load(tmp_path)
        assert torch.equal(other(x), score(x))
        assert (other.threshold, other.reduce, other.settings) == (score.threshold, score.reduce, score.settings)
        assert other.info == score.info
        assert torch.equal(other.p_value(x), score.p_value(x))
        assert torch.equal(other.bank[0], score.bank[0])

    def test_any_network_comes_back_into_an_instance_of_its_class(self, tmp_path):
        score = ReconstructionScore(Fixed(torch.rand(1, 1, 6, 5)))
        score.save(tmp_path)
        with pytest.raises(ValueError, match="model=an instance"):
            AnomalyScore.load(tmp_path)
        other = AnomalyScore.load(tmp_path, model=Fixed(torch.zeros(1, 1, 6, 5)))
        assert torch.equal(other(images()), score(images()))

    def test_pickle_is_neither_written_nor_read(self, tmp_path):
        score = ReconstructionScore(VAEGAN(size=8).eval())
        score.save(tmp_path)
        with (tmp_path / "score.safetensors").open("wb") as file:
            pickle.dump(score.model.state_dict(), file)
        with pytest.raises(ValueError, match="pickle is never read"):
            AnomalyScore.load(tmp_path)
        with pytest.raises(TypeError, match="skops"):
            DetectorScore.from_callable(lambda x: x[:, 0]).save(tmp_path)
        with pytest.raises(TypeError, match="surrogate"):
            score.surrogate(TopK(2)).save(tmp_path)

    def test_a_folder_without_a_score_and_an_unknown_reducer_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"there is no file .*score\.json"):
            AnomalyScore.load(tmp_path)
        ReconstructionScore(VAEGAN(size=8).eval()).save(tmp_path)
        described = json.loads((tmp_path / "score.json").read_text())
        (tmp_path / "score.json").write_text(json.dumps(described | {"reduce": {"name": "Median"}}))
        with pytest.raises(ValueError, match="names the reducer 'Median'"):
            AnomalyScore.load(tmp_path)

    def test_unknown_keys_are_refused(self, tmp_path):
        ReconstructionScore(VAEGAN(size=8).eval()).save(tmp_path)
        described = json.loads((tmp_path / "score.json").read_text())
        (tmp_path / "score.json").write_text(json.dumps(described | {"hook": "os.system"}))
        with pytest.raises(ValueError, match="hook"):
            AnomalyScore.load(tmp_path)
