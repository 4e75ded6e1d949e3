"""The published comparison of LIME, RISE and IASSA: cells, iterations, and that nothing is run twice."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.tiny_models import PREPROCESS, conv
from xai_ext import MaskedModel
from xai_ext.metrics import Protocol, RangeFraction, iou, pointing_game
from xai_ext.study import iassa_poster as poster
from xai_ext.study.iassa_poster import METRICS, Settings

MODEL = "tests.tiny_models:conv"
SMALL = {"model": MODEL, "budget": 60, "lime_samples": 30, "rise_masks": 40, "iterations": 3, "metric_steps": 8}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # the budgets are too small for anything but a test


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng, lines = np.random.default_rng(0), ["path,mask"]
    for name in "ab":
        Image.fromarray(rng.integers(0, 255, (36, 40, 3), np.uint8)).save(folder / f"{name}.png")
        mask = np.zeros((36, 40), np.uint8)
        mask[8:20, 10:25] = 255
        Image.fromarray(mask).save(folder / f"{name}_mask.png")
        lines.append(f"{name}.png,{name}_mask.png")
    (folder / "table.csv").write_text("\n".join(lines))
    return str(folder / "table.csv")


@pytest.fixture(scope="module")
def found(photos):
    return poster.run(Settings(images=(photos,), **SMALL))


def test_both_tables_have_all_cells_with_intervals(found):
    cells = poster.cells(found)
    for _, part in cells.groupby("table"):
        assert len(part) == 3 * 2 * 5
        assert set(part.method) == {"LIME", "RISE", "IASSA"}
        assert set(part.level) == {"image", "pixel"}
        assert set(part.metric) == set(METRICS)
    shown = cells[cells["mean"].notna()]
    assert (shown.low <= shown["mean"]).all()
    assert (shown["mean"] <= shown.high).all()
    assert (cells.n_images == 2).any()


def test_the_second_table_is_at_equal_budget(found):
    equal = found[found.table == "equal"]
    assert equal.n_evals.between(40, 60).all()
    published = found[found.table == "published"].groupby("method").n_evals.max()
    assert published["LIME"] == 30
    assert published["RISE"] == 42


def test_iterations_are_those_of_one_run(photos, found, monkeypatch):
    runs = []
    monkeypatch.setattr(poster, "iassa", lambda *a, own=poster.iassa, **k: runs.append(own(*a, **k)) or runs[-1])
    again = poster.run(Settings(images=(photos,), **SMALL))
    assert len(runs) == 2  # one per photo
    rows = again[(again.table == "iterations") & (again.metric == "IoU")]
    for (_, part), run in zip(rows.groupby("image_id"), runs, strict=True):
        levels = run.diagnostics["levels"]
        assert part.iteration.tolist() == list(range(len(levels)))
        assert part.n_evals.tolist() == [level["n_evals"] for level in levels]
    last = rows.sort_values("iteration").groupby("image_id").last()
    first_table = again[(again.table == "published") & (again.method == "IASSA") & (again.metric == "IoU")]
    np.testing.assert_array_equal(last.value, first_table.set_index("image_id").value)


def test_scores_are_those_of_the_metrics():
    module, x = conv().module, PREPROCESS(Image.effect_noise((40, 40), 90).convert("RGB"))
    forward = poster.Probability(conv(), 2)
    truth = np.zeros((32, 32), bool)
    truth[4:20, 6:22] = True
    values = np.random.default_rng(0).random((32, 32))
    own = poster.published_scores(forward, x, {"a": values}, truth, Protocol(n_steps=8))["a"]
    given, object_ = torch.from_numpy(values)[None], torch.from_numpy(truth)[None]
    region = values > values.min() + 0.3 * np.ptp(values)
    both, union = (region & truth).sum(), (region | truth).sum()
    assert own["IoU"] == pytest.approx(both / union)
    assert own["IoU"] == pytest.approx(float(iou(given, object_, threshold=RangeFraction(0.3))))
    assert own["F-1"] == pytest.approx(2 * both / (region.sum() + truth.sum()))
    assert own["pointing"] == float(pointing_game(given, object_))
    for metric in METRICS:
        assert own[f"{metric}@pixel"] == pytest.approx(own[metric] / region.sum())
    expected = module(x).double().softmax(1)[0, 2]
    assert float(forward(x)[0]) == pytest.approx(float(expected))


def test_maps_after_iterations_agree_with_a_shorter_run():
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    class Brightness(nn.Module):
        def forward(self, images):
            return images[:, :, 8:20, 8:20].mean((1, 2, 3))

    longer, shorter = (poster.iteration_maps(MaskedModel(Brightness().eval(), x, 0.0), k) for k in (3, 2))
    for k, (values, n_evals) in shorter.items():
        np.testing.assert_allclose(values, longer[k][0], atol=1e-6)  # batches of float32
        assert n_evals == longer[k][1]


def test_it_is_printed_and_saved(found, tmp_path):
    settings = Settings(images=("table.csv",), **SMALL)
    paths = poster.save(found, settings, tmp_path)
    saved = json.loads(paths[0].read_text())
    assert len(saved["cells"]) == 2 * 30
    assert all(p.stat().st_size for p in paths)
    text = poster.table(found)
    assert text.count("LIME") == 4
    assert "no targets" in text


@pytest.mark.parametrize(
    ("images", "message"), [((), "needs photos with masks"), (("photos",), "needs a mask or boxes for every image")]
)
def test_without_masks_it_says_what_it_needs(images, message):
    with pytest.raises(ValueError, match=message):
        poster.run(Settings(images=images, **SMALL))
