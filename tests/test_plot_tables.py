"""Figures of tables, and what every figure of the package keeps to."""

import inspect
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy.stats import t as student

from xai_ext import plots
from xai_ext._plot_series import line_style, marker_style
from xai_ext.hierarchies import axis_aligned
from xai_ext.metrics import deletion_insertion

RNG = np.random.default_rng(0)


def long_table(n_images=6, methods="ABC"):
    rows = [
        {"method": m, "image_id": f"img{i}", "metric": "srg", "value": k + RNG.normal(), "n_evals": 500 * k,
         "iteration": step}
        for k, m in enumerate(methods) for i in range(n_images) for step in (1, 2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def changes():
    rows = [
        {"factor": f, "view": "pixels", "measure": "spearman", "disagreement": d, "low": d - 0.1, "high": d + 0.1,
         "beyond_seed": d - 0.05, "beyond_low": d - 0.2, "beyond_high": d + 0.1, "n": 9}
        for f, d in (("method", 0.8), ("model", 0.5), ("seed", 0.1))
    ]  # fmt: skip
    return SimpleNamespace(changes_maps=pd.DataFrame(rows), setup={"measures": ["spearman"]})


def square(*rows):
    return pd.DataFrame(np.array(rows, float), index=list("abcdef"[: len(rows)]))


TABLE = long_table()
# every public function, with what it must draw: usual, empty, NaN, 1x1, not square, grey
PICTURES = {
    "usual": RNG.integers(0, 255, (20, 30, 3), np.uint8), "grey": RNG.random((12, 8)), "1x1": RNG.random((1, 1, 3)),
    "float": RNG.random((9, 9, 3)),
}  # fmt: skip
MAPS = {"normal": lambda s: RNG.normal(size=s), "zero": np.zeros, "nan": lambda s: np.full(s, np.nan),
        "some nan": lambda s: np.where(RNG.random(s) < 0.5, np.nan, RNG.normal(size=s))}  # fmt: skip


def each_picture(make):
    return [make(image) for image in PICTURES.values()]


def each_map(make):
    return [make(image, draw(image.shape[:2])) for image in PICTURES.values() for draw in MAPS.values()]


def tree(image):
    return axis_aligned(image.shape[:2])


def row(image, values):
    return plots.AnomalyRow(image, image, np.nan_to_num(values), {"a": values}, np.isfinite(values), "c")


CALLS = {
    "overlay": each_map(lambda image, values: (image, values)),
    "attribution_grid": each_map(lambda image, values: (image, {"a": values, "b": -values})),
    "anomaly_sheet": each_map(lambda image, values: ([row(image, values)],)),
    "segments": each_picture(lambda image: (image, np.zeros(image.shape[:2], int))),
    "masked": each_picture(lambda image: (image, np.zeros(image.shape[:2], int), np.array([False]))),
    "positive_segments": each_picture(lambda image: (image, np.zeros(image.shape[:2], int), np.array([np.nan]))),
    "hierarchy_levels": each_picture(lambda image: (image, tree(image), (1, 4, 1000))),
    "score_boxes": [(RNG.normal(size=(20, 3)),), (np.zeros((1, 1)),), (np.full((4, 2), np.nan),)],
    "loss_boxes": [(RNG.random((20, 3)),), (np.zeros((1, 1)),), (np.full((4, 2), np.nan),)],
    "curves": [({},), ({"a": (np.arange(3) / 2, np.full(3, np.nan)), "b": (np.zeros(1), np.zeros(1))}, "insertion")],
    "metric_intervals": [(TABLE, "srg"), (TABLE[TABLE.image_id == "img0"], "srg"), (TABLE.assign(value=np.nan), "srg")],
    "cost_vs_quality": [(TABLE, "srg"), (TABLE[TABLE.image_id == "img0"], "srg"), (TABLE.assign(value=0.0), "srg")],
    "iterations": [(TABLE, "srg"), (TABLE.assign(value=np.nan), "srg"), (TABLE.drop(columns="method"), "srg")],
    "convergence": [([4, 8, 16], np.zeros(3), np.zeros(3)), ([4], np.full((1, 9), np.nan)), ([2, 3], np.ones((2, 3)))],
    "agreement_heatmap": [(square([1]),), (square([1, np.nan], [np.nan, 1]), [np.nan, 1]),
                          (square([1, 0, 0], [0, 1, 0], [0, 0, 1]), None, "given")],
    "agreement_dendrogram": [(square([1]),), (square([1, np.nan], [np.nan, 1]),), (square([1, -1], [-1, 1]),)],
    "what_changes": [(changes(),), (SimpleNamespace(changes_maps=pd.DataFrame(), setup={"measures": ["x"]}),)],
}  # fmt: skip
FUNCTIONS = {name: getattr(plots, name) for name in plots.__all__ if inspect.isfunction(getattr(plots, name))}


def test_every_public_function_is_tried():
    assert set(CALLS) == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
class TestEveryFigure:
    def test_it_takes_axes_or_a_figure_and_gives_them_back(self, name):
        function = FUNCTIONS[name]
        (place,) = {"ax", "fig"} & set(inspect.signature(function).parameters)
        for arguments in CALLS[name]:
            figure = Figure()
            given = figure if place == "fig" else figure.subplots()
            assert function(*arguments, **{place: given}) is given

    def test_settings_backend_and_open_figures_stay_as_they_are(self, name):
        function = FUNCTIONS[name]
        place = "ax" if "ax" in inspect.signature(function).parameters else "fig"
        before, figures, backend = dict(mpl.rcParams), plt.get_fignums(), mpl.get_backend()
        for arguments in CALLS[name]:
            figure = Figure()
            function(*arguments, **{place: figure if place == "fig" else figure.subplots()})
            figure.canvas.draw()
        assert (dict(mpl.rcParams), plt.get_fignums(), mpl.get_backend()) == (before, figures, backend)

    def test_alone_it_makes_its_own_and_changes_no_setting(self, name):
        before = dict(mpl.rcParams)
        found = FUNCTIONS[name](*CALLS[name][0])
        assert isinstance(found, Axes | Figure)
        assert dict(mpl.rcParams) == before
        plt.close("all")


class TestCurves:
    def test_a_line_is_the_curve_that_was_measured(self):
        x, values = torch.rand(1, 1, 4, 4), torch.rand(1, 4, 4)
        found = deletion_insertion(lambda z: z.sum((1, 2, 3))[:, None], x, values, 0.0, target=0)
        for kind, curve in (("deletion", found.deletion_curve), ("insertion", found.insertion_curve)):
            ax = plots.curves({"a": found}, kind, ax=Figure().subplots())
            np.testing.assert_array_equal(ax.lines[0].get_ydata(), curve.curve[0])
            np.testing.assert_array_equal(ax.lines[0].get_xdata(), curve.fractions[0])

    def test_examples_are_averaged_at_equal_shares(self):
        pair = (np.array([[0, 0.5, 1], [0, 0.1, 1]]), np.array([[0, 0.5, 1.0], [0, 0.1, 1.0]]))  # both y = x
        line = plots.curves({"a": pair}, ax=Figure().subplots()).lines[0]
        np.testing.assert_allclose(line.get_ydata(), line.get_xdata(), atol=1e-12)

    def test_another_kind_is_refused(self):
        with pytest.raises(ValueError, match=r"kind must be one of .* did you mean 'deletion'"):
            plots.curves({}, "deletions", ax=Figure().subplots())


def bars(ax):
    """Label -> (value, low, high) of horizontal error bars."""
    found = {}
    for container in ax.containers:
        (x,), _ = container.lines[0].get_data()
        ((low, _), (high, _)) = container.lines[2][0].get_segments()[0]
        found.setdefault(container.get_label(), []).append((x, low, high))
    return found


class TestMetricIntervals:
    def test_intervals_are_student_s_over_images(self):
        ax = plots.metric_intervals(TABLE, "srg", ax=Figure().subplots())
        drawn = [b for group in bars(ax).values() for b in group]
        names = [label.get_text() for label in ax.get_yticklabels()]
        for name, (mean, low, high) in zip(names, drawn, strict=True):
            values = TABLE[TABLE.method == name].groupby("image_id")["value"].mean()
            half = student.ppf(0.975, 5) * values.std(ddof=1) / np.sqrt(6)
            np.testing.assert_allclose([mean, low, high], [values.mean(), values.mean() - half, values.mean() + half])
        assert names == sorted(names, key=lambda n: TABLE[TABLE.method == n]["value"].mean())

    def test_settings_stand_beside_each_other(self):
        both = pd.concat([TABLE.assign(model="m1", dataset="d"), TABLE.assign(model="m2", dataset="d")])
        ax = plots.metric_intervals(both, "srg", ax=Figure().subplots())
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["m1", "m2"]

    def test_what_is_missing_is_named(self):
        with pytest.raises(ValueError, match=r"no rows of 'iou'; it has \['srg'\]"):
            plots.metric_intervals(TABLE, "iou", ax=Figure().subplots())
        with pytest.raises(ValueError, match="column must be one of"):
            plots.metric_intervals(TABLE.drop(columns="image_id"), "srg", ax=Figure().subplots())


def test_cost_is_the_mean_number_of_evaluations():
    ax = plots.cost_vs_quality(TABLE, "srg", ax=Figure().subplots())
    points = {c.get_label(): c.lines[0].get_data() for c in ax.containers}
    for name, cost in (("A", 0), ("B", 500), ("C", 1000)):
        (x,), (y,) = points[name]
        assert x == cost
        assert y == pytest.approx(TABLE[TABLE.method == name]["value"].mean())


def test_iterations_are_means_over_images_and_the_band_their_interval():
    ax = plots.iterations(TABLE, "srg", ax=Figure().subplots())
    expected = TABLE[TABLE.method == "B"].groupby("iteration")["value"].mean()
    np.testing.assert_allclose(ax.lines[1].get_ydata(), expected)
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), [1, 2])
    assert len(ax.collections) == 3


def test_the_band_of_convergence_is_two_standard_errors():
    ax = plots.convergence([1, 2, 3], np.array([3.0, 2, 1]), np.array([1.0, 0.5, 0.25]), ax=Figure().subplots())
    corners = ax.collections[0].get_paths()[0].vertices
    assert {tuple(v) for v in corners} >= {(1, 1), (1, 5), (3, 0.5), (3, 1.5)}


class TestAgreement:
    MATRIX = square([1, 0.1, 0.9], [0.1, 1, np.nan], [0.9, np.nan, 1])

    def test_every_number_is_written_and_what_is_missing_stays_blank(self):
        ax = plots.agreement_heatmap(self.MATRIX, [1, 0.75, np.nan], order="given", ax=Figure().subplots())
        written = {t.get_position(): t.get_text() for t in ax.texts}
        assert written == {(0, 0): "1.00", (1, 0): "0.10", (2, 0): "0.90", (0, 1): "0.10", (1, 1): "0.75",
                           (0, 2): "0.90"}  # fmt: skip

    def test_methods_that_agree_stand_side_by_side(self):
        ax = plots.agreement_heatmap(self.MATRIX, ax=Figure().subplots())
        names = [label.get_text() for label in ax.get_yticklabels()]
        assert abs(names.index("a") - names.index("c")) == 1
        assert [label.get_text() for label in ax.get_xticklabels()] == names

    def test_the_given_matrix_is_not_changed(self):
        before = self.MATRIX.copy()
        plots.agreement_heatmap(self.MATRIX, [0, 0, 0], ax=Figure().subplots())
        pd.testing.assert_frame_equal(self.MATRIX, before)

    def test_the_first_pair_of_the_tree_joins_where_they_agree(self):
        ax = plots.agreement_dendrogram(self.MATRIX, ax=Figure().subplots())
        joins = sorted(path[1:3, 0].max() for c in ax.collections for path in c.get_segments())
        np.testing.assert_allclose(joins, [0.1, (0.9 + 1) / 2])

    def test_what_is_no_matrix_is_refused(self):
        for given in (np.eye(3), square([1, 2], [3, 4]).iloc[:1]):
            with pytest.raises(ValueError, match="must be a DataFrame"):
                plots.agreement_heatmap(given, ax=Figure().subplots())


def test_factors_are_ordered_by_how_much_they_change():
    ax = plots.what_changes(changes(), ax=Figure().subplots())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["seed", "model", "method"]
    drawn = bars(ax)
    np.testing.assert_allclose(drawn["in all"], [(0.1, 0.0, 0.2)], atol=1e-12)
    np.testing.assert_allclose(drawn["beyond seeds"], [(0.45, 0.3, 0.6), (0.75, 0.6, 0.9)], atol=1e-12)


class TestHierarchy:
    def test_levels_have_as_many_regions_as_their_titles_say(self):
        image = PICTURES["usual"]
        figure = plots.hierarchy_levels(image, tree(image), (2, 5, 10_000))
        assert [ax.get_title() for ax in figure.axes] == ["2 regions", "5 regions", "600 regions"]

    def test_players_of_labels(self):
        labels = np.repeat([[0, 0, 1, 1]], 4, 0)
        figure = plots.hierarchy_levels(np.zeros((4, 4)), axis_aligned((1, 2)), (1, 2), labels=labels)
        plain, split = (np.asarray(ax.images[0].get_array()) for ax in figure.axes)
        assert plain.max() == 0
        assert split[:, :, 0].max() == 1  # a border is drawn

    def test_a_tree_of_another_size_is_refused(self):
        with pytest.raises(ValueError, match="a hierarchy of 4 players"):
            plots.hierarchy_levels(np.zeros((3, 3)), axis_aligned((2, 2)))


def test_32_lines_and_64_points_differ():
    assert len({(s["color"], s["linestyle"]) for s in map(line_style, range(32))}) == 32
    assert len({(s["color"], s["marker"]) for s in map(marker_style, range(64))}) == 64
    assert all(to_hex(line_style(i)["color"]) != "#ffffff" for i in range(8))
