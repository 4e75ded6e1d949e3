"""Masked models and games."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.games import game_of, xor_and
from tests.laws import MaskedModelLaws
from tests.memory import needs_gauge, peak_growth
from xai_ext import Game, MaskedModel
from xai_ext._checks import NonFiniteScoreError


class TestImage(MaskedModelLaws):
    pass


class TestGreyImage(MaskedModelLaws):
    shapes = ((1, 7, 3),)


class TestEightChannels(MaskedModelLaws):
    shapes = ((8, 3, 3),)


class TestSignal(MaskedModelLaws):
    shapes = ((2, 11),)


class TestVolume(MaskedModelLaws):
    shapes = ((1, 3, 4, 5),)


class TestTable(MaskedModelLaws):
    shapes = ((6,),)


class TestTwoInputs(MaskedModelLaws):
    shapes = ((3, 4, 4), (5,))


class TestDoubles(MaskedModelLaws):
    dtype = torch.float64


class TestHalves(MaskedModelLaws):
    dtype = torch.bfloat16


class TestIntegers(MaskedModelLaws):
    dtype = torch.int64


class TestBytes(MaskedModelLaws):
    dtype = torch.uint8


class TestBools(MaskedModelLaws):
    dtype = torch.bool


class TestComplex(MaskedModelLaws):
    """16 bytes per element: no integer of that width to exchange bits with."""

    dtype = torch.complex128

    def model(self, forward=None, **kwargs):
        return super().model(forward or (lambda x: x.abs().flatten(1).sin().sum(1)), **kwargs)

    def test_nothing_of_the_users_is_touched(self):
        pass  # complex inputs have no float baseline of 0


def test_masks_of_the_spatial_shape_serve_all_channels():
    x = torch.rand(1, 3, 4, 5)
    mask = torch.rand(2, 4, 5) < 0.5
    scores = MaskedModel(lambda t: t.flatten(1).sum(1), x)(mask)
    np.testing.assert_allclose(scores[:, 0], (mask[:, None] * x).sum((1, 2, 3)), rtol=1e-6)


def test_a_mask_between_0_and_1_mixes_input_and_baseline():
    x = torch.tensor([[4.0, 8.0]])
    scores = MaskedModel(lambda t: t, x, 2.0)(torch.tensor([[0.0, 1.0], [0.5, 0.25]]))
    np.testing.assert_allclose(scores, [[2, 8], [3, 3.5]])


def test_nan_in_a_baseline_stays_out_of_what_is_kept():
    x = torch.tensor([[1.0, 2.0]])
    scores = MaskedModel(lambda t: t.nan_to_num(nan=-1.0), x, float("nan"))(torch.tensor([[True, False]]))
    np.testing.assert_array_equal(scores, [[1, -1]])


class TestScores:
    def test_their_shape_behind_the_rows_is_remembered(self):
        model = MaskedModel(lambda t: t.reshape(-1, 2, 3), torch.rand(1, 6))
        assert model(torch.ones(4, 6, dtype=torch.bool)).shape == (4, 6)
        assert model.output_shape == (2, 3)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    def test_a_non_finite_one_is_an_error_that_names_the_evaluation(self, bad):
        def forward(t):
            return torch.where(t[:, :1] > 0, torch.zeros(len(t), 2), torch.tensor([0.0, bad]))

        game = Game(MaskedModel(forward, torch.ones(1, 2), batch_size=2), np.arange(2))
        assert game.full_value.tolist() == [0, 0]
        with pytest.raises(NonFiniteScoreError, match="for output 1 of evaluation 4"):
            game(np.array([[True, True], [True, False], [True, True], [False, True]]))

    @pytest.mark.parametrize("forward", [lambda t: t.sum(), lambda t: t[:1, 0], lambda t: 3.0])
    def test_one_per_row_is_required(self, forward):
        with pytest.raises(ValueError, match="forward must return one score per row"):
            MaskedModel(forward, torch.ones(1, 2), batch_size=2)(torch.ones(2, 2, dtype=torch.bool))

    def test_a_known_full_value_counts_and_is_not_evaluated_again(self):
        model = MaskedModel(lambda t: t.sum(1), torch.ones(1, 3), full_value=torch.tensor([5.0]))
        assert model.n_evals == 1
        assert model.full_value.tolist() == [5.0]


class TestOutOfMemory:
    def test_the_batch_is_halved_until_it_fits(self):
        sizes = []

        def forward(t):
            sizes.append(len(t))
            if len(t) > 3:
                raise torch.OutOfMemoryError("too large")
            return t.sum(1)

        model = MaskedModel(forward, torch.arange(4.0)[None], batch_size=16)
        with pytest.warns(UserWarning, match="16 rows per call: the batch is halved") as caught:
            np.testing.assert_allclose(model(torch.ones(20, 4, dtype=torch.bool))[:, 0], 6)
        assert len(caught) == 1
        assert sizes[:4] == [16, 8, 4, 2]
        assert model.n_evals == 20

    def test_one_row_that_does_not_fit_is_the_users_error(self):
        def forward(t):
            raise torch.OutOfMemoryError("too large")

        with (
            pytest.raises(torch.OutOfMemoryError, match="batch size of 1 row: too large"),
            pytest.warns(UserWarning, match="halved"),
        ):
            MaskedModel(forward, torch.ones(1, 2), batch_size=4)(torch.ones(1, 2, dtype=torch.bool))


class TestGameInputs:
    @pytest.mark.parametrize("labels", [[1, 2, 3], [0, 2, 2], [-1, 0, 1]])
    def test_labels_with_gaps_are_an_error_with_the_fix(self, labels):
        with pytest.raises(ValueError, match=r"numpy\.unique"):
            Game(MaskedModel(lambda t: t.sum(1), torch.ones(1, 3)), np.array(labels))

    @pytest.mark.parametrize("shape", [(4,), (2, 3), (3, 1, 1)])
    def test_labels_that_do_not_broadcast_are_an_error(self, shape):
        with pytest.raises(ValueError, match="does not broadcast from the right"):
            Game(MaskedModel(lambda t: t.sum(1), torch.ones(1, 3)), np.zeros(shape, int))

    @pytest.mark.parametrize("coalitions", [np.ones((2, 3)), np.ones(5, bool), np.ones((2, 4), bool)])
    def test_coalitions_must_be_bool_rows_of_n_players(self, coalitions):
        with pytest.raises(ValueError, match=r"bool array of shape \(k, 5\)"):
            game_of(xor_and, 5)(coalitions)

    def test_one_label_array_per_input_is_needed(self):
        with pytest.raises(ValueError, match="one array per input"):
            Game(MaskedModel(lambda a, b: a.sum(1), (torch.ones(1, 2), torch.ones(1, 2))), np.arange(2))

    def test_several_examples_are_an_error_with_the_fix(self):
        with pytest.raises(ValueError, match="one MaskedModel per example"):
            MaskedModel(lambda t: t.sum(1), torch.ones(2, 3))

    def test_no_coalition_costs_no_evaluation(self):
        game = game_of(xor_and, 5)
        assert game(np.zeros((0, 5), bool)).shape[0] == 0
        assert game.n_evals == 0


def test_reports_come_after_each_forward_and_stop_with_the_block():
    model, reports = MaskedModel(lambda t: t.sum(1), torch.ones(1, 3), batch_size=4), []
    masks = torch.ones(10, 3, dtype=torch.bool)
    with model.reporting(reports.append):
        model(masks)
    model(masks)
    assert reports == [4, 4, 2]


@pytest.mark.slow
@needs_gauge
def test_memory_does_not_grow_with_the_budget():
    """30 MB is the promise, an image batch of 5,000 would be 3 GB."""
    setup = (
        "import numpy as np\n"
        "from xai_ext import Game, MaskedModel\n"
        "from xai_ext.methods.lime import lime\n"
        "labels = np.arange(224 * 224).reshape(224, 224) // 512\n"
        "def run(b): lime(Game(MaskedModel(lambda t: t.mean((1, 2, 3)), torch.ones(1, 3, 224, 224), batch_size=8),\n"
        "                      labels), budget=b, rng=0)"
    )
    grown = peak_growth(setup, "run(200)", "run(5000)")
    assert grown <= 30, f"peak memory grew by {grown:.0f} MB between 200 and 5,000 evaluations"
    assert peak_growth(setup, "run(200)", "kept = torch.ones(50, 2**20)") > 150  # the gauge moves


def test_the_mode_of_a_module_stays():
    for training in (True, False):
        module = nn.Sequential(nn.Linear(3, 2), nn.Dropout()).train(training)
        MaskedModel(module, torch.ones(1, 3))(torch.ones(3, 3, dtype=torch.bool))
        assert module.training is training
        assert all(m.training is training for m in module.modules())


class TestFill:
    """What takes the place of what is absent may depend on the mask."""

    def test_the_fill_makes_the_images(self):
        x = torch.arange(12.0).reshape(1, 3, 4)
        seen = []

        def fill(inputs, keep):
            seen.append(keep[0])
            (image,), (mask,) = inputs, keep
            return (torch.where(mask, image, mask.flatten(1).sum(1).reshape(-1, 1, 1).float()),)

        model = MaskedModel(lambda images: images.flatten(1).sum(1), x, batch_size=2, fill=fill)
        masks = torch.rand(3, 3, 4, generator=torch.Generator().manual_seed(0)) < 0.5
        expected = [float(x[0][m].sum() + (~m).sum() * m.sum()) for m in masks]
        np.testing.assert_allclose(model(masks)[:, 0], expected)
        assert all(m.dtype == torch.bool for m in seen)

    def test_regions_and_the_ends_are_filled_too(self):
        x = torch.arange(6.0).reshape(1, 1, 2, 3)

        def fill(inputs, keep):
            return (torch.where(keep[0].expand(-1, 1, 2, 3), inputs[0], torch.tensor(9.0)),)

        model = MaskedModel(lambda images: images.flatten(1).sum(1), x, batch_size=2, fill=fill)
        assert (model.full_value.item(), model.base_value.item()) == (15, 54)
        values = Game(model, np.array([[0, 0, 1], [2, 2, 2]]))(np.array([[True, False, False], [False, True, True]]))
        assert values[:, 0].tolist() == [0 + 1 + 4 * 9, 2 + 3 + 4 + 5 + 2 * 9]
