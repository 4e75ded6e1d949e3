"""One method, one repeat, one scene."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny_models import conv
from xai_ext._checks import NonFiniteScoreError
from xai_ext._task import Cancelled, MapResult, Method, Skipped, Unsupported
from xai_ext.metrics import Protocol, deletion_insertion
from xai_ext.study.methods import choose_methods
from xai_ext.study.unit import Look, Terms, make_scene, run_unit, seed_of

TERMS = Terms(budget=40, n_steps=8)


def photo(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 48, 3), np.uint8))


@pytest.fixture(scope="module")
def scene():
    return make_scene(photo(), conv(), Look(segments="grid:3x3", batch_size=8))


def method(run, name="mine"):
    return Method(name, "reference", "pixels", False, run)


def named(name):
    return choose_methods(name)[0]


def test_a_unit_depends_on_seed_image_method_and_repeat_alone(scene):
    lime = named("stratified_lime")
    first, again = run_unit(lime, scene, 0, TERMS), run_unit(lime, scene, 0, TERMS)
    np.testing.assert_array_equal(first.values, again.values)
    assert first.metrics == again.metrics
    assert not np.array_equal(first.values, run_unit(lime, scene, 1, TERMS).values)
    words = [(0, "a", "m", 0), (1, "a", "m", 0), (0, "b", "m", 0), (0, "a", "n", 0), (0, "a", "m", 1)]
    seeds = {seed_of(*w) for w in words}
    assert len(seeds) == 5
    assert all(0 <= s < 2**63 for s in seeds)


def test_the_seed_rule_is_the_one_written_down():
    """So that numbers of earlier runs can be drawn again: first 8 bytes of SHA-256, big end first."""
    import hashlib

    words = [int.from_bytes(hashlib.sha256(t).digest()[:8], "big") for t in (b"image", b"rise")]
    expected = np.random.SeedSequence([7, *words, 2]).generate_state(1, np.uint64)[0] >> np.uint64(1)
    assert seed_of(7, "image", "rise", 2) == expected


def test_rows_of_the_method_and_of_its_metrics_are_counted_apart(scene):
    rows = []
    found = run_unit(named("captum.Lime"), scene, 0, TERMS, rows.append)
    assert found.cost == found.n_forward == 40
    assert sum(rows) == 40 + found.metric_rows
    assert found.metric_rows <= 2 + 2 * 7


def test_areas_under_probabilities_cost_no_row(scene):
    plain = run_unit(named("center"), scene, 0, TERMS)
    both = run_unit(named("center"), scene, 0, replace(TERMS, probabilities=True))
    assert both.metric_rows == plain.metric_rows
    given = torch.from_numpy(both.values)[None]
    expected = deletion_insertion(
        scene.classifier.module, scene.x, given, scene.baseline, target=scene.target,
        protocol=Protocol(n_steps=8, score="prob"),
    )  # fmt: skip
    assert both.metrics["deletion@prob"] == pytest.approx(float(expected.deletion), abs=1e-6)
    assert both.metrics["srg@prob"] == pytest.approx(float(expected.srg), abs=1e-6)
    assert both.metrics["srg"] == plain.metrics["srg"]


def test_every_outcome_has_a_status(scene):
    def refuse(task):
        raise Unsupported("no gradient")

    def skip(task):
        raise Skipped("needs 50")

    def fail(task):
        raise RuntimeError("broken\nin two lines")

    def flat(task):
        return MapResult(np.ones((32, 32)))

    def greedy(task):
        task.model(task.x.expand(41, -1, -1, -1))
        return MapResult(np.random.default_rng(0).random((32, 32)))

    runs = (refuse, skip, fail, flat, greedy)
    found = [run_unit(method(run), scene, 0, TERMS) for run in runs]
    assert [f.status for f in found] == ["unsupported", "skipped", "failed", "degenerate", "over_budget"]
    assert found[1].note == "needs 50"
    assert found[2].note == "RuntimeError: broken"
    assert "in fail" in found[2].error
    assert np.isfinite(found[3].metrics["srg"])


def test_what_on_rows_raises_ends_a_method_of_captum(scene):
    """Cancelled is no Exception, so that no library and no status catches it."""
    seen = []

    def stop(rows):
        seen.append(rows)
        if len(seen) == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        run_unit(named("captum.KernelShap"), scene, 0, TERMS, stop)
    assert len(seen) == 2


def test_truth_adds_localisation():
    mask = np.zeros((40, 48), bool)
    mask[10:30, 10:30] = True
    scene = make_scene(photo(), conv(), Look(segments="grid:3x3", batch_size=8), mask=mask)
    perfect = method(lambda task: MapResult(scene.truth.astype(float)))
    metrics = run_unit(perfect, scene, 0, TERMS).metrics
    names = ("iou", "f_score", "iou@range", "f_score@range", "max_iou", "pointing_game", "mass_accuracy")
    assert all(metrics[name] == 1 for name in names)


def test_a_model_without_finite_scores_makes_no_scene():
    from tests.tiny_models import not_a_number

    with pytest.raises(NonFiniteScoreError, match="the model returned nan for output 0 of evaluation 0"):
        make_scene(photo(), not_a_number(), Look(batch_size=8))


def test_no_method_pays_for_the_measurement_of_batches():
    scene = make_scene(Image.new("RGB", (40, 40), "red"), conv(), Look(segments="grid:4x4", batch_size=3))
    (method,) = choose_methods("rise")
    assert run_unit(method, scene, 0, Terms(40)).cost == 40


class _Small(torch.nn.Module):
    """A network on a device that holds so many rows."""

    def __init__(self, inner, most):
        super().__init__()
        self.inner, self.most, self.sizes = inner, most, []

    def forward(self, x):
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory (pretended)")
        return self.inner(x)


@pytest.mark.filterwarnings("ignore:out of memory")
@pytest.mark.parametrize("name", ["captum.KernelShap", "shap.Partition", "lime.Image"])
def test_a_host_runs_again_with_fewer_rows_where_memory_is_short(scene, name):
    module = _Small(scene.classifier.module, 3)
    small = replace(scene, classifier=replace(scene.classifier, module=module))
    found, usual = (run_unit(named(name), s, 0, TERMS) for s in (small, scene))
    assert found.status == usual.status == "ok"
    assert "rows per call, after memory was short: 2" in found.note
    assert "memory" not in usual.note
    assert found.cost == usual.cost  # only the run that ended counts
    np.testing.assert_allclose(found.values, usual.values, rtol=1e-4, atol=1e-6 * np.abs(usual.values).max())


def test_memory_too_short_for_one_row_is_a_failure(scene):
    module = _Small(scene.classifier.module, 0)
    found = run_unit(named("captum.KernelShap"), replace(scene, classifier=replace(scene.classifier, module=module)), 0)
    assert found.status == "failed"
    assert "out of memory" in found.note
    assert module.sizes[-1] == 1
