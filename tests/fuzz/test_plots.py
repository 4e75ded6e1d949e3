"""Every figure draws odd images, maps and tables, or refuses them in our words; nothing global changes."""

from collections import Counter
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from tests.fuzz.odd import DOCUMENTED, KINDS, Call, arrays, bits, laid_out, maybe, numbers
from tests.strategies import SEEDS, merges
from xai_ext import plots
from xai_ext.hierarchies import Hierarchy

ORDINARY = tuple(kind for kind in KINDS if kind != "huge")
SIDES = st.integers(1, 9)
NAMES = st.lists(st.sampled_from(["a", "b", "$x", "Ω_", "", "long" * 9]), min_size=1, max_size=4, unique=True)


def picture(draw, shape):
    """uint8 or 0..1, grey or colour; rarely beyond 0..1, with alpha or of another rank."""
    inner = maybe(draw, st.sampled_from([(), (1,), (3,)]), st.sampled_from([(2,), (4,), (0,), (3, 3)]), 12)
    rng, dtype = np.random.default_rng(draw(SEEDS)), draw(st.sampled_from(["u1", "f4", "f8", "f2", "?", "i8"]))
    values = rng.random((*shape, *inner)) * maybe(draw, st.just(1.0), st.sampled_from([5.0, -1.0, np.nan]))
    with np.errstate(invalid="ignore"):
        return laid_out(draw, (values * 255 if dtype == "u1" else values).astype(dtype))


def like(draw, shape, share=20):
    """The shape, or rarely another."""
    return maybe(draw, st.just(shape), st.sampled_from([(2, 3), (0, 2), (4,)]), share)


def a_map(draw, shape):
    return draw(arrays(like(draw, shape), ORDINARY))


def a_truth(draw, shape):
    share = draw(st.sampled_from([0.0, 0.4, 1.0]))
    return draw(st.sampled_from([None, np.random.default_rng(draw(SEEDS)).random(like(draw, shape)) < share]))


def some_labels(draw, shape, n=4):
    return np.random.default_rng(draw(SEEDS)).integers(0, n, like(draw, shape))


def sides(draw):
    return draw(st.tuples(SIDES, SIDES))


def target(draw):
    """Axes of a figure that pyplot does not know."""
    return {"ax": Figure().subplots()}


def overlay(draw):
    shape = sides(draw)
    kwargs = {"signed": draw(st.sampled_from([True, False, "auto"])), "truth": a_truth(draw, shape)}
    kwargs["percentile"] = maybe(draw, st.floats(0, 100), st.sampled_from([-1.0, 101.0, np.nan]), 12)
    return (picture(draw, shape), a_map(draw, shape)), kwargs | target(draw)


def segments(draw):
    shape = sides(draw)
    return (picture(draw, shape), some_labels(draw, shape)), target(draw)


def masked(draw):
    shape = sides(draw)
    fill = draw(st.sampled_from([0.5, 0, "image"]))
    coalition = np.random.default_rng(draw(SEEDS)).random(maybe(draw, st.just(4), st.sampled_from([0, 2]), 12)) < 0.5
    args = (
        picture(draw, shape),
        some_labels(draw, shape),
        coalition,
        picture(draw, shape) if fill == "image" else fill,
    )
    return args, target(draw)


def positive_segments(draw):
    shape = sides(draw)
    coefficients = draw(numbers((maybe(draw, st.just(4), st.just(2), 12),), ORDINARY))
    args = (picture(draw, shape), some_labels(draw, shape), coefficients)
    return args, {"top": maybe(draw, st.sampled_from([None, 1, 9]), st.just(0), 12)} | target(draw)


def boxes(draw):
    m, classes = draw(st.integers(0, 6)), draw(st.integers(1, 4))
    names = draw(st.one_of(st.none(), st.lists(st.sampled_from("abc"), min_size=classes, max_size=classes)))
    names = maybe(draw, st.just(names), st.just(["too", "many", "names", "of", "all"]), 12)
    return (draw(arrays((m, classes), ORDINARY)),), {"names": names} | target(draw)


def attribution_grid(draw):
    shape = sides(draw)
    maps = {name: a_map(draw, shape) for name in maybe(draw, NAMES, st.just([]), 10)}
    labels = draw(st.sampled_from([None, some_labels(draw, shape)]))
    kwargs = {"truth": a_truth(draw, shape), "labels": labels, "title": draw(st.sampled_from(["", "a $title"]))}
    return (picture(draw, shape), maps), kwargs


def hierarchy_levels(draw):
    shape = sides(draw)
    n = draw(st.integers(2, 6))
    hierarchy = Hierarchy.from_merges(draw(merges(n)))
    levels = maybe(draw, st.lists(st.integers(1, 99), min_size=1, max_size=3), st.sampled_from([[], [0], [-1, 2]]), 10)
    labels = maybe(draw, st.just(some_labels(draw, shape, n)), st.sampled_from([None, np.full(shape, -1)]), 10)
    return (picture(draw, shape), hierarchy, levels), {"labels": labels}


def anomaly_sheet(draw):
    shape = sides(draw)
    names = draw(NAMES)

    def row():
        own = maybe(draw, st.just(names), st.just(["another"]), 12)
        evidence = draw(arrays(like(draw, (2, 3)), ORDINARY))
        maps = {name: a_map(draw, shape) for name in own}
        return plots.AnomalyRow(
            picture(draw, shape), picture(draw, shape), evidence, maps, a_truth(draw, shape), "s = 1"
        )

    rows = [row() for _ in range(maybe(draw, st.integers(1, 2), st.just(0), 12))]
    return (rows,), {"title": draw(st.sampled_from(["", "title"]))}


def agreement(draw):
    m = maybe(draw, st.integers(1, 6), st.just(0), 12)
    shape = maybe(draw, st.just((m, m)), st.just((m, m + 1)), 12)
    values = draw(numbers(shape, ("normal", "ties", "zero", "nan", "positive", "constant")))
    names = [f"m{i}" for i in range(shape[0])]
    return m, (maybe(draw, st.just(pd.DataFrame(values, names)), st.just(values), 12),)


def agreement_heatmap(draw):
    m, args = agreement(draw)
    floor = draw(st.one_of(st.none(), numbers((maybe(draw, st.just(m), SIDES, 12),), ("positive", "nan"))))
    return args, {"floor": floor, "order": draw(st.sampled_from(["cluster", "given"]))} | target(draw)


def agreement_dendrogram(draw):
    return agreement(draw)[1], target(draw)


def curves(draw):
    def one(p):
        shape = (p,) if draw(st.booleans()) else (draw(st.integers(1, 3)), p)
        fractions = np.broadcast_to(np.linspace(0, 1, p), shape)
        scores = draw(numbers(maybe(draw, st.just(shape), st.just((p + 1,)), 12), ORDINARY))
        pair = (fractions, scores)
        return draw(st.sampled_from([pair, SimpleNamespace(fractions=pair[0], curve=pair[1])]))

    results = {name: one(draw(st.integers(1, 6))) for name in maybe(draw, NAMES, st.just([]), 10)}
    return (results, draw(st.sampled_from(["deletion", "insertion"]))), target(draw)


def table(draw):
    rows = maybe(draw, st.integers(1, 12), st.just(0), 12)
    rng = np.random.default_rng(draw(SEEDS))
    found = pd.DataFrame({
        "method": rng.choice(["rise", "lime", "$m"], rows), "image_id": rng.integers(0, 4, rows),
        "metric": rng.choice(["iou", "deletion"], rows), "value": draw(numbers((rows,), ORDINARY)),
        "n_evals": rng.integers(0, 999, rows), "iteration": rng.integers(0, 4, rows),
        "model": rng.choice(["one", "two"], rows),
    })  # fmt: skip
    gone = maybe(draw, st.just([]), st.lists(st.sampled_from(list(found)), max_size=2), 6)
    return (found.drop(columns=gone), maybe(draw, st.sampled_from(["iou", "deletion"]), st.just("none"), 12)), target(
        draw
    )


def convergence(draw):
    k, players = draw(st.integers(1, 5)), draw(st.sampled_from([(), (1,), (3,), (40,)]))
    values, error = (draw(numbers((maybe(draw, st.just(k), SIDES, 20), *players), ORDINARY)) for _ in range(2))
    return (np.arange(k) * 7, values, draw(st.sampled_from([None, np.abs(error)]))), target(draw)


def what_changes(draw):
    rows = draw(st.integers(0, 4))
    rng = np.random.default_rng(draw(SEEDS))
    names = ("disagreement", "beyond_seed")
    ends = {"low": -0.1, "high": 0.1, "beyond_low": -0.1, "beyond_high": 0.1}
    made = pd.DataFrame({
        "measure": rng.choice(["spearman", "iou"], rows), "view": rng.choice(["pixels", "regions"], rows),
        "factor": rng.choice(["seed", "method", "baseline"], rows),
        **{name: rng.choice([0.0, 0.2, np.nan], rows) for name in names},
    })  # fmt: skip
    for name, step in ends.items():
        made[name] = made[names["beyond" in name]] + step * rng.choice([1, np.nan], rows)
    return (SimpleNamespace(changes_maps=made, setup={"measures": ["spearman"]}),), target(draw)


DRAWN = {
    "agreement_dendrogram": agreement_dendrogram, "agreement_heatmap": agreement_heatmap,
    "anomaly_sheet": anomaly_sheet, "attribution_grid": attribution_grid, "convergence": convergence,
    "cost_vs_quality": table, "curves": curves, "hierarchy_levels": hierarchy_levels, "iterations": table,
    "loss_boxes": boxes, "masked": masked, "metric_intervals": table, "overlay": overlay,
    "positive_segments": positive_segments, "score_boxes": boxes, "segments": segments, "what_changes": what_changes,
}  # fmt: skip


def call(name, draw):
    args, kwargs = DRAWN[name](draw)
    return Call(args, kwargs, drawn, [a for a in args if isinstance(a, pd.DataFrame)])


def drawn(found):
    """A figure that can be rendered."""
    figure = found if isinstance(found, Figure) else found.figure
    figure.set_size_inches(2, 2)
    figure.set_dpi(20)
    figure.set_layout_engine("none")
    figure.canvas.draw()


CALLS = {name: (lambda draw, name=name: call(name, draw)) for name in DRAWN}


def function(name):
    return getattr(plots, name)


def test_every_figure_is_driven():
    assert set(DRAWN) | {"AnomalyRow"} == set(plots.__all__)


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_draws_or_is_refused_in_our_words(name):
    counts = Counter()

    @given(st.data())
    def drive(data):
        made = CALLS[name](data.draw)
        before, settings, figures = bits(made.args), dict(mpl.rcParams), plt.get_fignums()
        frames = [one.copy() for one in made.given]
        try:
            made.check(function(name)(*made.args, **made.kwargs))
        except DOCUMENTED as error:
            assert str(error)
            counts["refused"] += 1
        else:
            counts["drawn"] += 1
        assert bits(made.args) == before
        assert all(one.equals(copy) for one, copy in zip(made.given, frames, strict=True))
        assert dict(mpl.rcParams) == settings
        assert plt.get_fignums() == figures

    drive()
    assert counts["drawn"] >= counts["refused"] / 5, "what is drawn must often draw"


@pytest.mark.parametrize("name", ["overlay", "segments", "positive_segments", "masked"])
@given(shape=st.tuples(SIDES, SIDES), wrong=st.booleans())
def test_without_axes_there_is_one_figure_of_pyplot_and_none_after_an_error(name, shape, wrong):
    image, other = np.zeros((*shape, 3)), np.zeros((shape[0] + wrong, shape[1]), int)
    more = {"masked": (np.ones(1, bool),), "positive_segments": (np.ones(1),)}.get(name, ())
    before = plt.get_fignums()
    try:
        number = function(name)(image, other, *more).figure.number
    except DOCUMENTED:
        assert wrong
        assert plt.get_fignums() == before
    else:
        assert not wrong
        assert plt.get_fignums() == [*before, number]
        plt.close(number)
