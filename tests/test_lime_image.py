"""The drop-in is lime where it should be, and better elsewhere; lime's own explainer gives what it gives by hand."""

import contextlib
import io
import math

import numpy as np
import pytest
import torch
from lime.lime_image import ImageExplanation, LimeImageExplainer
from sklearn.linear_model import Lasso, Ridge

from tests.laws import GeneratorsUntouched
from tests.tiny_models import conv
from xai_ext._task import CountedModel, Task
from xai_ext.explanation import segments_mask
from xai_ext.lime_image import StratifiedLimeImageExplainer, methods
from xai_ext.methods.lime import Cosine, PublishedCode
from xai_ext.segmentation import grid


def test_it_is_limes_own_on_the_shared_regions(capsys):
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels, counted = grid(x, rows=3), CountedModel(conv().module)
    task = Task(counted, x, torch.full_like(x, 0.3), 2, labels, 60, 7, None, 2**40 + 5)
    (method,) = methods()
    with GeneratorsUntouched():
        values = method.run(task).values
    assert counted.cost == 60
    assert capsys.readouterr().err == ""
    by_hand = LimeImageExplainer(random_state=np.random.RandomState((2**40 + 5) % 2**32)).explain_instance(
        task.array(x), task.column, labels=(0,), top_labels=None, hide_color=task.array(task.baseline),
        num_samples=60, segmentation_fn=lambda _: labels,
    )  # fmt: skip
    for segment, value in by_hand.local_exp[0]:
        np.testing.assert_allclose(values[labels == segment].sum(), value, rtol=1e-5)


def picture(channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((20, 26, channels))


def squares(image):
    return np.arange(20)[:, None] // 5 * 5 + np.minimum(np.arange(26) // 5, 4)


def classifier(images):
    """Three scores, of which the first reacts to one square."""
    means = np.asarray(images, dtype=float).reshape(len(images), 20, 26, -1).mean(3)
    red = np.tanh(
        3 * means[:, 5:10, 10:15].mean((1, 2)) + means[:, :5, :5].mean((1, 2)) * means[:, 15:, 5:10].mean((1, 2))
    )
    return np.stack([red, means.mean((1, 2)), -red], 1)


def explained(cls=StratifiedLimeImageExplainer, image=None, settings=None, **arguments):
    image = picture() if image is None else image
    arguments = {"top_labels": 3, "num_samples": 80, "segmentation_fn": squares, "hide_color": 0} | arguments
    with contextlib.redirect_stderr(io.StringIO()):
        return cls(random_state=7, **(settings or {})).explain_instance(image, classifier, **arguments)


@pytest.mark.filterwarnings("ignore:the penalty of the ridge")  # one segment, or a narrow kernel
class TestHost:
    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"segmentation_fn": None},
            {"hide_color": None},
            {"num_features": 4},
            {"num_features": 8, "batch_size": 7},
            {"top_labels": None, "labels": (2, 0)},
            {"model_regressor": Lasso(0.001)},
            {"distance_metric": "euclidean", "random_seed": 3},
            {"image": (255 * picture()).astype(np.uint8), "hide_color": None},
            {"image": picture()[..., 0], "hide_color": (0.1, 0.2, 0.3)},
        ],
        ids=str,
    )
    def test_it_is_lime_bit_by_bit(self, arguments):
        theirs, ours = explained(LimeImageExplainer, **arguments), explained(settings={"sampler": "host"}, **arguments)
        assert isinstance(ours, ImageExplanation)
        for name in ("local_exp", "intercept", "score", "local_pred"):
            assert getattr(ours, name) == getattr(theirs, name)
        assert getattr(ours, "top_labels", None) == getattr(theirs, "top_labels", None)
        np.testing.assert_array_equal(ours.segments, theirs.segments)
        label = next(iter(ours.local_exp))
        for flags in (
            {},
            {"positive_only": False, "negative_only": True},
            {"positive_only": False},
            {"hide_rest": True},
        ):
            for got, expected in zip(
                ours.get_image_and_mask(label, **flags), theirs.get_image_and_mask(label, **flags), strict=True
            ):
                np.testing.assert_array_equal(got, expected)

    def test_a_kernel_and_a_selection_of_the_user_are_limes_too(self):
        settings = {"kernel": lambda d, kernel_width: 1 / (d + kernel_width), "feature_selection": "lasso_path"}
        theirs = explained(LimeImageExplainer, settings=settings, num_features=5)
        ours = explained(settings=settings | {"sampler": "host"}, num_features=5)
        assert ours.local_exp == theirs.local_exp


class TestResult:
    def test_every_label_has_its_score_and_prediction(self):
        result = explained()
        assert set(result.scores) == set(result.local_preds) == set(result.local_exp) == {0, 1, 2}
        for label in range(3):
            total = result.intercept[label] + sum(v for _, v in result.local_exp[label])
            assert result.local_preds[label] == pytest.approx(total)
        assert result.score == result.scores[result.top_labels[0]]  # lime fits the most probable label last

    def test_a_label_does_not_depend_on_the_others(self):
        for weighting in ("kernel", "importance", PublishedCode()):
            settings = {"sampler": "stratified", "weighting": weighting}
            together = explained(settings=settings)
            alone = explained(settings=settings, top_labels=None, labels=(1,))
            assert alone.local_exp[1] == together.local_exp[1]

    def test_the_same_explainer_explains_twice_and_a_seed_reproduces(self):
        assert explained().local_exp == explained().local_exp
        with contextlib.redirect_stderr(io.StringIO()):
            explainer = StratifiedLimeImageExplainer(random_state=1)
            first, second = (
                explainer.explain_instance(picture(), classifier, hide_color=0, num_samples=40, segmentation_fn=squares)
                for _ in range(2)
            )
        assert first.local_exp != second.local_exp
        assert first.details["n_evals"] == 40

    def test_num_samples_counts_the_image_itself(self):
        rows = []

        def spy(images):
            rows.append(images)
            return classifier(images)

        with contextlib.redirect_stderr(io.StringIO()), GeneratorsUntouched():
            StratifiedLimeImageExplainer(random_state=0).explain_instance(
                picture(), spy, num_samples=33, segmentation_fn=squares
            )
        assert [len(r) for r in rows] == [10, 10, 10, 3]
        np.testing.assert_array_equal(rows[0][0], picture())

    def test_coefficients_are_the_ridge_on_the_draws_it_reports(self):
        d = (result := explained()).details
        drawn = np.unpackbits(d["coalitions"], axis=1, count=20)
        x = np.concatenate([np.ones((1, 20)), drawn])
        y = np.concatenate([classifier(picture()[None]), d["scores"]])
        ridge = Ridge(1.0).fit(x, y[:, 0], sample_weight=np.concatenate([[1], d["weights"]]))
        np.testing.assert_allclose([v for _, v in sorted(result.local_exp[0])], ridge.coef_, atol=1e-9)
        np.testing.assert_array_equal(drawn[:78:2], 1 - drawn[1:78:2])  # antithetic by default

    def test_standard_errors_are_the_spread_of_repeated_runs(self):
        def run(seed):
            with contextlib.redirect_stderr(io.StringIO()):
                result = StratifiedLimeImageExplainer(random_state=seed).explain_instance(
                    picture(),
                    classifier,
                    (0,),
                    0,
                    top_labels=None,
                    num_samples=200,
                    segmentation_fn=squares,
                    batch_size=200,
                )
            return [v for _, v in sorted(result.local_exp[0])], result.details["std_error"][0]

        values, errors = (np.array(a) for a in zip(*(run(seed) for seed in range(60)), strict=True))
        # 60 runs know a standard deviation to 9 %, their median over 20 segments to a few
        assert np.median(errors.mean(0) / values.std(0)) == pytest.approx(1, abs=0.15)

    def test_selected_features_and_other_regressors_have_no_standard_error(self):
        assert not explained(num_features=3).details["std_error"]
        assert not explained(model_regressor=Lasso(0.001)).details["std_error"]
        assert set(explained().details["std_error"]) == {0, 1, 2}


class TestImages:
    @pytest.mark.parametrize("channels", [1, 3, 4, 5])
    def test_any_number_of_channels(self, channels):
        image = picture(channels)
        result = explained(image=image, top_labels=1)
        label = result.top_labels[0]
        for flags in ({}, {"positive_only": False}, {"positive_only": False, "negative_only": True}):
            drawn, mask = result.get_image_and_mask(label, num_features=3, **flags)
            assert mask.shape == image.shape[:2]
            assert drawn.shape[:2] == image.shape[:2]
            sign = {0: "positive", 1: "both", 2: "negative"}[len(flags)]
            values = np.array([v for _, v in sorted(result.local_exp[label])])
            np.testing.assert_array_equal(mask, segments_mask(result.segments, values, sign=sign, top=3))

    def test_the_fill_is_the_mean_of_each_segment_and_channel(self):
        image, seen = picture(5), []

        def spy(images):
            seen.extend(images)
            return classifier(images)

        with contextlib.redirect_stderr(io.StringIO()):
            result = StratifiedLimeImageExplainer(random_state=0).explain_instance(
                image, spy, num_samples=5, segmentation_fn=squares
            )
        segment = result.segments == 3
        row = next(s for s in seen if (s[segment] != image[segment]).any())
        np.testing.assert_allclose(row[segment], np.broadcast_to(image[segment].mean(0), (25, 5)), rtol=1e-12)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float16, np.float32, np.float64])
    @pytest.mark.parametrize("channels", [1, 3, 5])
    def test_what_the_model_sees_is_the_image_or_its_fill_bit_by_bit(self, dtype, channels):
        image, seen = (200 * picture(channels)).astype(dtype)[:, ::-1], []

        def spy(images):
            seen.extend(images)
            return classifier(images)

        with contextlib.redirect_stderr(io.StringIO()):
            result = StratifiedLimeImageExplainer(random_state=0).explain_instance(
                image, spy, hide_color=7, num_samples=9, batch_size=4, segmentation_fn=squares
            )
        drawn = np.unpackbits(result.details["coalitions"], axis=1, count=20).astype(bool)
        keep = np.concatenate([np.ones((1, 20), bool), drawn])[:, squares(image), None]
        np.testing.assert_array_equal(seen, np.where(keep, image, dtype(7)))
        assert seen[0].dtype == dtype

    def test_segments_may_have_any_numbers(self):
        odd = explained(segmentation_fn=lambda i: 7 - 3 * squares(i))
        assert sorted(np.unique(odd.segments)) == list(range(20))
        assert sorted(s for s, _ in odd.local_exp[0]) == list(range(20))
        # number 19 is now the square that was number 0
        assert odd.local_exp[0] != explained().local_exp[0]

    def test_one_score_per_image_is_one_label(self):
        with contextlib.redirect_stderr(io.StringIO()):
            result = StratifiedLimeImageExplainer(random_state=0).explain_instance(
                picture(), lambda i: classifier(i)[:, 0], hide_color=0, num_samples=50, segmentation_fn=squares
            )
        assert list(result.local_exp) == [0]
        assert result.local_exp[0][0][0] == 7  # the square that the score reacts to

    def test_segments_of_another_shape_are_refused(self):
        with pytest.raises(ValueError, match="one label per pixel"):
            explained(segmentation_fn=lambda i: np.zeros((3, 3), int))


class TestWeights:
    @pytest.mark.parametrize("sampler", ["mc", "antithetic", "stratified", "stratified_pairs", "published", "glime"])
    def test_importance_makes_every_sampler_estimate_what_lime_estimates(self, sampler):
        def values(settings, samples):
            result = explained(settings=settings, top_labels=None, labels=(0,), num_samples=samples, batch_size=500)
            return np.array([v for _, v in sorted(result.local_exp[0])])

        truth = values({"sampler": "host"}, 12_000)
        got = values({"sampler": sampler, "weighting": "importance"}, 4000)
        np.testing.assert_allclose(got, truth, atol=0.03 * np.abs(truth).max())

    def test_the_image_keeps_its_weight_and_draws_get_the_ratio(self):
        d = explained(settings={"sampler": "stratified", "weighting": "importance"}).details
        s = np.unpackbits(d["coalitions"], axis=1, count=20).sum(1)
        a = np.array([21 * math.comb(20, k) / 2**20 for k in s])
        distance = np.where(s > 0, 1 - np.sqrt(s / 20), 1)
        np.testing.assert_allclose(d["weights"], a * np.exp(-(distance**2) / 0.125), rtol=1e-9)

    def test_the_published_code_adjusts_the_distance(self):
        d = explained(settings={"sampler": "published", "weighting": PublishedCode(2)}).details
        z = np.unpackbits(d["coalitions"], axis=1, count=20).astype(bool)
        np.testing.assert_allclose(d["weights"], PublishedCode(2).weigh(Cosine(), z), rtol=1e-6, atol=1e-12)

    def test_the_published_code_adjusts_once_more_for_each_label_fitted_before(self):
        together = explained(settings={"sampler": "published", "weighting": PublishedCode(None)})
        for position, label in enumerate(together.top_labels):
            settings = {"sampler": "published", "weighting": PublishedCode(3 - position)}
            alone = explained(settings=settings, top_labels=None, labels=(label,))
            assert alone.local_exp[label] == together.local_exp[label]
            assert explained(settings=settings).local_exp[label] == together.local_exp[label]

    def test_no_weighting_weighs_all_alike(self):
        assert (explained(settings={"weighting": "none"}).details["weights"] == 1).all()

    def test_glime_draws_by_the_kernel_of_the_user(self):
        steep = explained(
            settings={"sampler": "glime", "weighting": "none", "kernel": lambda d, kernel_width: np.exp(-50 * d)}
        )
        flat = explained(settings={"sampler": "glime", "weighting": "none"})
        kept = [np.unpackbits(r.details["coalitions"], axis=1, count=20).mean() for r in (steep, flat)]
        assert kept[0] > kept[1] + 0.1

    @pytest.mark.parametrize("settings", [{"weighting": "kernelshap"}, {"sampler": "hots"}, {"weighting": "kernal"}])
    def test_what_lime_cannot_fit_or_nobody_knows_is_refused(self, settings):
        with pytest.raises(ValueError, match=r"kernelshap|must be one of"):
            StratifiedLimeImageExplainer(**settings)

    def test_too_few_samples(self):
        with pytest.raises(ValueError, match="num_samples must be at least 2"):
            explained(num_samples=1)


class TestComparedLime:
    """lime itself, as `xai-ext compare` runs it."""

    def explained(self, **settings):
        from tests.tiny_models import conv
        from xai_ext._task import CountedModel, Task
        from xai_ext.lime_image import methods

        x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
        labels = np.arange(1024).reshape(32, 32) // 256
        task = Task(CountedModel(conv().module), x, torch.zeros_like(x), 1, labels, 30, 8, None, 0)
        return methods()[0].run(task, **settings).values, labels

    def test_it_takes_the_shared_regions_or_its_own(self):
        values, labels = self.explained()
        assert all(np.ptp(values[labels == r]) == 0 for r in range(4))
        own = self.explained(segments="quickshift")[0]
        assert max(np.ptp(own[labels == r]) for r in range(4)) > 0

    def test_what_is_absent_is_the_baseline_or_a_mean(self):
        assert np.abs(self.explained()[0] - self.explained(fill="mean")[0]).max() > 0

    def test_other_words_are_refused(self):
        with pytest.raises(ValueError, match="did you mean 'quickshift'"):
            self.explained(segments="quickshft")
