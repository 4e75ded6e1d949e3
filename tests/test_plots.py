"""Figures, by what is in them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from xai_ext import plots

IMAGE = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
SIGNED = np.random.default_rng(1).normal(size=(20, 30))
TRUTH = np.zeros((20, 30), bool)
TRUTH[5:12, 8:20] = True


@pytest.fixture
def ax():
    return Figure().subplots()


def layer(ax):
    """The colours of the map, (H, W, 4)."""
    return ax.images[1].get_array()


class TestOverlay:
    def test_the_strongest_value_is_the_most_opaque(self, ax):
        plots.overlay(IMAGE, SIGNED, ax=ax)
        opacity = layer(ax)[..., 3]
        assert np.unravel_index(np.abs(SIGNED).argmax(), SIGNED.shape) in list(
            zip(*np.nonzero(opacity == opacity.max()), strict=True)
        )
        assert opacity.max() == pytest.approx(0.85)

    def test_positive_is_red_and_negative_is_blue(self, ax):
        plots.overlay(IMAGE, SIGNED, ax=ax)
        colours = layer(ax)
        assert (colours[SIGNED > 1][:, 0] > colours[SIGNED > 1][:, 2]).all()
        assert (colours[SIGNED < -1][:, 0] < colours[SIGNED < -1][:, 2]).all()

    def test_map_and_image_cover_the_same_pixels(self, ax):
        plots.overlay(IMAGE, SIGNED, ax=ax)
        assert ax.images[0].get_extent() == ax.images[1].get_extent()
        assert ax.images[0].get_array().shape == layer(ax).shape[:2] == (20, 30)

    @pytest.mark.parametrize("values", [np.zeros((20, 30)), np.full((20, 30), np.nan)])
    def test_a_map_without_values_says_so(self, ax, values):
        plots.overlay(IMAGE, values, ax=ax)
        assert [t.get_text() for t in ax.texts] == ["all zero"]

    def test_a_sparse_map_is_not_taken_for_zero(self, ax):
        values = np.zeros((20, 30))
        values[3, 4] = 1.0
        plots.overlay(IMAGE, values, ax=ax)
        assert layer(ax)[3, 4, 3] > 0.5

    @pytest.mark.parametrize("image", [IMAGE[..., 0], IMAGE[..., :1], IMAGE / 255.0, IMAGE[:1, :1]])
    def test_grey_floats_and_single_pixels_draw(self, ax, image):
        plots.overlay(image, np.ones(image.shape[:2]), truth=np.ones(image.shape[:2], bool), ax=ax)

    def test_another_shape_is_an_error(self, ax):
        with pytest.raises(ValueError, match="values must have the image's shape"):
            plots.overlay(IMAGE, SIGNED.T, ax=ax)


class TestGrid:
    def test_there_is_a_titled_panel_per_map_and_a_legend(self):
        labels = np.arange(600).reshape(20, 30) // 100
        figure = plots.attribution_grid(IMAGE, {"a": SIGNED, "b": SIGNED**2}, truth=TRUTH, labels=labels, title="t")
        titles = [ax.get_title() for ax in figure.axes]
        assert titles[:4] == ["image", "6 shared regions", "a", "b"]
        assert [t.get_text() for t in figure.legends[0].get_texts()] == [
            "raises the score", "lowers the score", "strongest, in maps without negative values", "object",
        ]  # fmt: skip

    def test_without_truth_and_regions_it_is_smaller(self):
        figure = plots.attribution_grid(IMAGE, {"a": SIGNED})
        assert len(figure.axes) == 2
        assert len(figure.legends[0].get_texts()) == 3


class TestPlayers:
    LABELS = np.arange(600).reshape(20, 30) // 200  # three regions of whole rows, more or less

    def test_a_coalition_keeps_its_regions_and_the_rest_is_filled(self, ax):
        fill = np.full_like(IMAGE, 51)
        plots.masked(IMAGE, self.LABELS, np.array([True, False, True]), fill, ax=ax)
        shown = np.asarray(ax.images[0].get_array())
        np.testing.assert_allclose(shown[self.LABELS != 1], IMAGE[self.LABELS != 1] / 255)
        np.testing.assert_allclose(shown[self.LABELS == 1], 0.2)

    def test_labels_of_another_image_are_refused(self, ax):
        with pytest.raises(ValueError, match="labels must have the image's shape"):
            plots.masked(IMAGE[:5], self.LABELS, np.ones(3, bool), ax=ax)

    def test_only_the_regions_that_speak_for_the_class_are_shown(self, ax):
        plots.positive_segments(IMAGE, self.LABELS, np.array([2.0, -5.0, 3.0]), top=1, ax=ax)
        shown = np.asarray(ax.images[0].get_array())
        np.testing.assert_allclose(shown[self.LABELS == 2], IMAGE[self.LABELS == 2] / 255)
        assert (shown[self.LABELS != 2] == 0.5).all()

    def test_no_such_region_is_said(self, ax):
        plots.positive_segments(IMAGE, self.LABELS, -np.ones(3), ax=ax)
        assert ax.texts[0].get_text() == "none"

    def test_boxes_are_quartiles_with_the_mean_as_a_diamond(self, ax):
        scores = np.random.default_rng(0).gamma(2, size=(101, 2))
        plots.loss_boxes(scores, names=["a", "b"], ax=ax)
        for i, patch in enumerate(ax.patches):
            heights = np.unique(patch.get_path().vertices[:, 1])
            np.testing.assert_allclose(heights[[0, -1]], np.quantile(scores[:, i], [0.25, 0.75]))
        means = [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "D"]
        np.testing.assert_allclose(means, scores.mean(0))
        assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]
        assert ax.get_ylim()[0] == 0


def test_without_axes_pyplot_makes_them():
    ax = plots.segments(IMAGE, np.zeros((20, 30), int))
    assert ax.figure.number in plt.get_fignums()
    plt.close(ax.figure)


def test_an_anomaly_sheet_has_a_row_per_sample_and_a_column_per_map():
    image, mask = np.random.default_rng(0).random((8, 6)), np.zeros((8, 6), bool)
    mask[2:4, 2:4] = True
    rows = [plots.AnomalyRow(image, image, image[::2, ::2], {"a": image, "b": -image}, truth, "right")
            for truth in (mask, None)]  # fmt: skip
    figure = plots.anomaly_sheet(rows, title="brick")
    assert len(figure.axes) == 2 * 5
    assert [ax.get_title() for ax in figure.axes[:5]] == ["image and defect", "reference", "map", "a", "b"]
    assert figure.axes[0].get_ylabel() == "right"
    with pytest.raises(ValueError, match="at least one row"):
        plots.anomaly_sheet([])
