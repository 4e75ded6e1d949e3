"""Owen values of images: pixels as players, feedback, several trees."""

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import linkage
from scipy.stats import spearmanr

from xai_ext import MaskedModel
from xai_ext.hierarchies import Hierarchy, axis_aligned, balanced
from xai_ext.methods._image_trees import in_grey_levels
from xai_ext.methods.owen import BestFirst, Feedback, owen_over_trees, owen_with_feedback

H, W = 6, 7
SEEN = []


def ward(image, labels, extra=None):
    """Clusters of colour, place and evidence; remembers what it was given."""
    SEEN.append((np.array(image), np.array(labels), extra))
    y, x = np.indices(labels.shape)
    features = np.dstack([image, 20.0 * y, 20.0 * x, *([] if extra is None else [extra])]).reshape(labels.size, -1)
    n = labels.max() + 1
    means = np.stack([features[labels.ravel() == i].mean(0) for i in range(n)])
    return Hierarchy.from_merges(linkage(means, "ward"), np.bincount(labels.ravel()), structure="ward")


@pytest.fixture(autouse=True)
def _forget():
    SEEN.clear()


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (H, W, 3)).astype(np.uint8)


def model(outputs=1, rows=None):
    """Row by row, so that the batch changes no bit; a bright object in the middle matters."""
    weights = torch.zeros(H, W, dtype=torch.float64)
    weights[2:4, 2:5] = 1.0

    def forward(x):
        if rows is not None:
            rows.append(len(x))
        inside = torch.stack([(r.mean(0) * weights).sum() / 255 for r in x])
        outside = torch.stack([(r.mean(0) * (1 - weights)).sum() / 255 for r in x])
        return torch.stack([torch.tanh(inside - 0.1 * c) * (1 + 0.1 * outside) * (c + 1) for c in range(outputs)], 1)

    return forward


def masked(outputs=1, rows=None, batch_size=8):
    x = torch.from_numpy(picture().astype(float)).movedim(-1, 0)[None]
    return MaskedModel(model(outputs, rows), x, 127.0, batch_size=batch_size)


def with_feedback(masked_model, **kwargs):
    return owen_with_feedback(masked_model, picture(), **{"hierarchy": ward, "budget": 60} | kwargs)


def over_trees(masked_model, **kwargs):
    return owen_over_trees(masked_model, picture(), **{"hierarchy": ward, "budget": 60, "rng": 0} | kwargs)


@pytest.mark.parametrize("run", [with_feedback, over_trees])
class TestBoth:
    @pytest.mark.parametrize("estimator", ["best_first", "designed", BestFirst(steer="each")], ids=str)
    def test_they_are_complete_at_every_budget_which_is_never_exceeded(self, run, estimator):
        rows = []
        for budget in range(2, 201, 1 if estimator == "best_first" else 17):
            rows.clear()
            explanation = run(masked(2, rows), budget=budget, estimator=estimator)
            assert sum(rows) == explanation.n_evals <= budget
            gap = explanation.values.sum(0) - (explanation.full_value - explanation.base_value)
            assert np.abs(gap).max() <= 1e-12

    def test_the_batch_size_and_a_second_run_change_no_bit(self, run):
        runs = [run(masked(batch_size=b), budget=100) for b in (1, 7, 64, 64)]
        for other in runs[1:]:
            np.testing.assert_array_equal(other.values, runs[0].values)
            np.testing.assert_array_equal(other.std_error, runs[0].std_error)

    def test_pixels_are_the_players_unless_labels_are_given(self, run):
        assert run(masked()).values.shape == (H * W, 1)
        labels = np.arange(H * W).reshape(H, W) // 4
        explanation = run(masked(), labels=labels)
        assert explanation.values.shape == (11, 1)
        np.testing.assert_array_equal(explanation.labels[0], labels)
        np.testing.assert_array_equal(SEEN[-1][1], labels)

    def test_labels_of_another_shape_are_an_error(self, run):
        with pytest.raises(ValueError, match=r"labels must have the image's shape \(6, 7\), got \(7, 6\)"):
            run(masked(), labels=np.zeros((W, H), int))

    def test_a_tree_that_does_not_follow_the_image_is_an_error(self, run):
        with pytest.raises(TypeError, match=r"hierarchy must be a callable .* got Hierarchy; fix: bpt"):
            run(masked(), hierarchy=balanced(H * W))
        with pytest.raises(TypeError, match="got axis_aligned, which ignores the image"):
            run(masked(), hierarchy=axis_aligned)

    def test_a_budget_too_small_is_an_error(self, run):
        with pytest.raises(ValueError, match="budget must be at least 2"):
            run(masked(), budget=1)

    def test_progress_is_shown_for_slow_models(self, run, capsys, monkeypatch):
        monkeypatch.setattr("xai_ext._progress._DELAY", 0.0)
        run(masked(), show_progress=True)
        assert "Owen: 100%" in capsys.readouterr().err


class TestFeedback:
    def test_the_second_tree_sees_the_first_map_scaled_by_its_99th_percentile(self):
        with_feedback(masked(), feedback=Feedback(weight=0.5), budget=4002)
        first = owen_over_trees(masked(), picture(), hierarchy=ward, trees=1, budget=1002)  # a quarter of 4000, and 2
        density = first.density_map()[:, :, 0]
        largest = np.percentile(abs(density), 99)
        assert abs(density).max() > largest  # which is clipped
        assert SEEN[0][2] is None
        expected = 0.5 * 127.5 * (np.clip(density / largest, -1, 1) + 1)
        np.testing.assert_allclose(SEEN[1][2], expected, rtol=1e-12)

    @pytest.mark.parametrize("rounds", [1, 2, 3])
    def test_rounds_share_what_the_first_map_leaves(self, rounds):
        explanation = with_feedback(masked(), budget=202, feedback=Feedback(rounds=rounds, share=0.5))
        spent = [r["n_evals"] for r in explanation.diagnostics["rounds"]]
        assert spent == [102] + [2 + 2 * (100 // (2 * rounds))] * rounds
        assert explanation.n_evals == sum(spent) - 2 * rounds
        assert len(SEEN) == rounds + 1
        assert len({extra.tobytes() for _, _, extra in SEEN[1:]}) >= min(rounds, 2)  # from the newest map

    def test_the_mean_weighs_maps_by_their_evaluations(self):
        last = with_feedback(masked(), budget=100)
        mean = with_feedback(masked(), budget=100, feedback=Feedback(combine="mean"))
        first_evals, last_evals = (r["n_evals"] for r in mean.diagnostics["rounds"])
        first = owen_over_trees(masked(), picture(), hierarchy=ward, trees=1, budget=first_evals)
        expected = (first_evals * first.values + last_evals * last.values) / (first_evals + last_evals)
        np.testing.assert_allclose(mean.values, expected, rtol=1e-12)

    def test_a_map_of_zeros_leaves_the_tree(self):
        flat = MaskedModel(lambda x: torch.ones(len(x)), torch.ones(1, 3, H, W), 0, batch_size=4)
        explanation = with_feedback(flat)
        assert len(SEEN) == 1
        assert explanation.n_evals == 60
        assert not explanation.values.any()

    @pytest.mark.parametrize("steer", [2, "joint"])
    def test_a_steered_output_is_the_evidence_and_otherwise_the_relative_mean_of_all(self, steer):
        with_feedback(masked(3), estimator=BestFirst(steer=steer))
        first = owen_over_trees(
            masked(3), picture(), hierarchy=ward, trees=1, budget=2 + 2 * 7, estimator=BestFirst(steer=steer)
        )
        density, change = first.density_map(), np.abs(first.full_value - first.base_value)
        evidence = density[:, :, 2] if steer == 2 else (density / change).mean(2)
        expected = 0.25 * 127.5 * (np.clip(evidence / np.percentile(abs(evidence), 99), -1, 1) + 1)
        np.testing.assert_allclose(SEEN[1][2], expected, rtol=1e-12)

    def test_diagnostics_say_that_the_tree_follows_the_model(self):
        diagnostics = with_feedback(masked()).diagnostics
        assert "ward, rebuilt with the model's evidence (Feedback(share=0.25" in diagnostics["structure"]
        first, second = diagnostics["rounds"]
        assert np.isnan(first["spearman"])
        assert -1 <= second["spearman"] <= 1

    def test_a_builder_that_takes_no_evidence_is_an_error(self):
        with pytest.raises(TypeError, match="needs a hierarchy that takes extra="):
            with_feedback(masked(), hierarchy=lambda image, labels: ward(image, labels))

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"share": 0.0}, "share must lie between 0 and 1"),
            ({"share": 1.0}, "share must lie between 0 and 1"),
            ({"weight": 0.0}, "weight must be a positive finite number"),
            ({"rounds": 0}, "rounds must be at least 1"),
            ({"combine": "lst"}, "did you mean 'last'"),
        ],
    )
    def test_impossible_settings(self, kwargs, message):
        with pytest.raises(ValueError, match=message):
            Feedback(**kwargs)


class TestSeveralTrees:
    def test_values_are_the_mean_and_errors_the_spread_of_single_trees(self):
        together = over_trees(masked(), trees=3, budget=92)
        singles = []
        for image, _, _ in list(SEEN):

            def fixed(_, labels, image=image):
                return ward(image, labels)

            singles.append(owen_over_trees(masked(), picture(), hierarchy=fixed, trees=1, budget=32).values)
        np.testing.assert_allclose(together.values, np.mean(singles, 0), atol=1e-15)
        np.testing.assert_allclose(together.std_error, np.std(singles, 0, ddof=1) / np.sqrt(3), atol=1e-15)
        pairs = [spearmanr(singles[a][:, 0], singles[b][:, 0])[0] for a, b in [(0, 1), (0, 2), (1, 2)]]
        assert together.diagnostics["tree_spread"] == pytest.approx(np.mean(pairs))
        assert together.n_evals == 92
        assert together.std_error.any()

    def test_the_first_tree_sees_the_image_and_the_others_noise_within_the_jitter(self):
        over_trees(masked(), jitter=10.0)
        clean, *noisy = (image.astype(float) for image, _, _ in SEEN)
        np.testing.assert_array_equal(clean, picture())
        for image in noisy:
            assert 9 < np.abs(image - clean).max() <= 10
            assert image.min() >= 0
            assert image.max() <= 255
        assert np.abs(noisy[0] - noisy[1]).max() > 10

    def test_the_generator_draws_the_noise(self):
        one, same, other = (over_trees(masked(), rng=seed).values for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()

    def test_one_tree_is_the_plain_method(self):
        explanation = over_trees(masked(), trees=1)
        assert "tree_spread" not in explanation.diagnostics
        assert not explanation.std_error.any()
        assert explanation.n_evals == 60

    def test_tol_adds_no_tree_that_is_not_needed(self):
        explanation = over_trees(masked(), trees=20, budget=400, tol=100.0)
        assert len(SEEN) == 2
        assert explanation.n_evals == 2 + 2 * 2 * (398 // 40)

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"trees": 0}, "trees must be at least 1"),
            ({"jitter": -1.0}, "jitter must be a positive finite number"),
            ({"tol": 0.0}, "tol must be a positive finite number"),
        ],
    )
    def test_impossible_settings(self, kwargs, message):
        with pytest.raises(ValueError, match=message):
            over_trees(masked(), **kwargs)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.array([[[0, 255, 7]]], np.uint8), [0, 255, 7]),
        (np.array([[[0.0, 1.0, 0.5]]]), [0, 255, 127.5]),
        (np.array([[[0.0, 200.0, 50.0]]]), [0, 200, 50]),
        (np.array([[[-1.0, 1.0, 0.0]]]), [0, 255, 127.5]),
        (np.array([[[-3.0, -3.0, -3.0]]]), [0, 0, 0]),
        (torch.tensor([0.0, 1.0, 0.5]).reshape(3, 1, 1), [0, 255, 127.5]),
    ],
)
def test_images_in_grey_levels(image, expected):
    np.testing.assert_allclose(in_grey_levels(image).ravel(), expected)


@pytest.mark.parametrize("function", [owen_with_feedback, owen_over_trees])
def test_the_tree_is_a_bpt_by_default(function):
    explanation = function(masked(), torch.from_numpy(picture()).movedim(-1, 0), budget=60, rng=0)
    assert explanation.diagnostics["structure"].startswith("bpt")
    gap = explanation.values.sum(0) - (explanation.full_value - explanation.base_value)
    assert np.abs(gap).max() <= 1e-12
    assert explanation.n_evals <= 60
