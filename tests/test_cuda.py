"""On a GPU everything stays there, and the numbers are those of the CPU."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from tests import tiny_models
from tests.study.bench_runs import write_images
from xai_ext import Game, MaskedModel, baselines
from xai_ext.attr import IASSA, RISE, BPTOwen, StratifiedLime
from xai_ext.explainers import BPTOwen as BPTOwenExplainer
from xai_ext.maskers import BPT
from xai_ext.metrics import deletion, insertion
from xai_ext.models import as_numpy_function
from xai_ext.study import compare
from xai_ext.study.bench import bench

DEVICE = "cuda"
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CLASSES = [BPTOwen, StratifiedLime, RISE, IASSA]
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(autouse=True)
def _full_precision():
    """A GPU's short cuts in convolutions are larger than the tolerance."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def network():
    return tiny_models.conv().module


def images(n=2):
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def quarters():
    return torch.arange(16).reshape(4, 4).repeat_interleave(8, 0).repeat_interleave(8, 1)


def attributed(method, module, x, **more):
    mask = {"feature_mask": quarters().to(x.device)} if method is StratifiedLime else {}
    return method(module).attribute(x, target=1, n_samples=60, perturbations_per_eval=8, seed=0, **mask, **more)


@pytest.mark.parametrize("method", CLASSES)
class TestCaptumClasses:
    def test_the_numbers_are_those_of_the_cpu(self, method):
        here, there = attributed(method, network(), images()), attributed(method, network().to(DEVICE), _moved())
        assert there.device.type == DEVICE
        torch.testing.assert_close(there.cpu(), here, **CLOSE)

    def test_every_argument_may_live_there(self, method):
        baseline, target = torch.full((2, 3, 32, 32), 0.3), torch.tensor([1, 2])
        mask = {"feature_mask": quarters().expand(2, 3, 32, 32)}
        arguments = {"baselines": baseline, "target": target, **(mask if method is not IASSA else {})}
        moved = {name: value.to(DEVICE) for name, value in arguments.items()}
        settings = {"n_samples": 60, "perturbations_per_eval": 8, "seed": 0}
        here = method(network()).attribute(images(), **arguments, **settings)
        there = method(network().to(DEVICE)).attribute(_moved(), **moved, **settings)
        torch.testing.assert_close(there.cpu(), here, **CLOSE)

    def test_data_parallel_models_are_explained(self, method):
        module = nn.DataParallel(network().to(DEVICE))
        torch.testing.assert_close(
            attributed(method, module, _moved()).cpu(), attributed(method, network(), images()), **CLOSE
        )

    def test_the_generator_moves_as_on_the_cpu(self, method):
        before = torch.cuda.get_rng_state() if DEVICE == "cuda" else torch.get_rng_state()
        attributed(method, network().to(DEVICE), _moved())
        after = torch.cuda.get_rng_state() if DEVICE == "cuda" else torch.get_rng_state()
        assert torch.equal(before, after)


def test_images_of_coalitions_are_those_of_the_cpu():
    coalitions = np.random.default_rng(0).random((40, 16)) < 0.5
    scores = []
    for device in ("cpu", DEVICE):
        module, x = network().to(device), images(1).to(device)
        for baseline in (0.2, baselines.blur(x, sigma=3.0), x.flip(-1)):
            game = Game(MaskedModel(module, x, baseline, batch_size=None), quarters().numpy())
            scores.append(game(coalitions))
    for here, there in zip(scores[:3], scores[3:], strict=True):
        np.testing.assert_allclose(there, here, **CLOSE)


def test_a_shap_explainer_of_a_module_there():
    photo = images(1)[0].movedim(0, -1).numpy()
    found = []
    for device in ("cpu", DEVICE):
        explainer = BPTOwenExplainer(as_numpy_function(network().to(device)), BPT(photo, 0.2))
        found.append(explainer(photo[None], max_evals=60, silent=True).values)
    np.testing.assert_allclose(found[1], found[0], **CLOSE)


def test_curves_are_those_of_the_cpu():
    maps = images().mean(1)
    for metric in (deletion, insertion):
        here = metric(network(), images(), maps, target=1)
        there = metric(network().to(DEVICE), _moved(), maps.to(DEVICE), target=1)
        np.testing.assert_allclose(np.asarray(there.cpu()), np.asarray(here), **CLOSE)


def test_a_batch_that_does_not_fit_is_halved():
    rows = []

    def forward(x):
        rows.append(len(x))
        if len(x) > 4:
            torch.empty(2**50, dtype=torch.uint8, device=x.device)  # more than any GPU has
        return x.mean((1, 2, 3))

    game = Game(MaskedModel(forward, images(1).to(DEVICE), batch_size=16), quarters().numpy())
    scores = game(np.eye(16, dtype=bool))
    assert scores.shape == (16, 1)
    assert max(rows[-4:]) <= 4


def _moved():
    return images().to(DEVICE)


STUDY = {
    "methods": "ours,captum.Lime,captum.IntegratedGradients,captum.LayerGradCam,shap.Partition,lime.Image,random",
    "budget": 24, "repeats": 1, "segments": "grid:4x4", "metric_steps": 3, "batch_size": 4, "target": "0",
}  # fmt: skip


class TestStudies:
    def test_a_comparison_there_is_that_of_the_cpu(self):
        options = {**STUDY, "model": "tests.study.small_models:tiny"}
        here, there = compare(**options), compare(**options, device=DEVICE)
        assert there.scene.x.device.type == DEVICE
        assert [s.status for s in there.scores] == [s.status for s in here.scores]
        for name, values in here.maps.items():
            np.testing.assert_allclose(there.maps[name], values, atol=1e-4 * np.abs(values).max())

    @pytest.mark.parametrize("engine", ["serial", "processes"])
    def test_a_bench_runs_there_and_says_so(self, engine, tmp_path):
        data = str(write_images(tmp_path / "data", 2))
        run = bench(
            data, out=tmp_path / "run", models=["tests.study.small_models:tiny"], agreement=("spearman",),
            engine=engine, device=DEVICE, **STUDY,
        )  # fmt: skip
        assert run.exit_code == 0
        assert json.loads((tmp_path / "run" / "manifest.json").read_text())["numerics"][0]["device"].startswith(DEVICE)
