"""Games with many players for `lime_variance.py`: one with known answers, and photos with remembered scores."""

import zlib
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from _owen_games import SIDE, coalition_keys
from _scenes import faster, network
from PIL import Image
from scipy.special import expit, gammaln

from xai_ext import Game, MaskedModel, segmentation
from xai_ext.models import Preprocess

BATCH = 8
PLAYERS, ACTIVE = 50, 14
SEGMENTS = 64  # asked for; photos give 23 to 58
_PHOTOS = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True, eq=False)
class Moments:
    """Weighted sums over coalitions z and scores y: all that a linear fit depends on. They add up and scale.

    Attributes
    ----------
    w, wz, wzz, wy, wzy
        Sums of w, w z (n,), w z z' (n, n), w y and w z y (n,).
    """

    w: float
    wz: np.ndarray
    wzz: np.ndarray
    wy: float
    wzy: np.ndarray

    @classmethod
    def of(cls, coalitions, weights, scores):
        """Of rows (m, n), (m,), (m,)."""
        z = coalitions.astype(float)
        weighted = weights[:, None] * z
        return cls(weights.sum(), weighted.sum(0), weighted.T @ z, weights @ scores, weighted.T @ scores)

    def __add__(self, other):
        return Moments(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def __mul__(self, factor):
        return Moments(*(factor * a for a in vars(self).values()))

    @property
    def centred(self):
        """Gram matrix (n, n) and inner products (n,) around weighted means."""
        mean = self.wz / self.w
        return self.wzz - np.outer(self.wz, mean), self.wzy - mean * self.wy

    def ridge(self, alpha=1.0):
        """Coefficients (n,)."""
        gram, inner = self.centred
        return np.linalg.solve(gram + alpha * np.eye(len(gram)), inner)

    def lasso(self, alpha=0.01):
        """Coefficients (n,), penalised as in scikit-learn: on data that have these moments."""
        from sklearn.linear_model import Lasso

        gram, inner = (a / self.w for a in self.centred)
        root = np.linalg.cholesky(gram + 1e-12 * np.eye(len(gram)))
        design, y = np.sqrt(len(gram)) * root.T, np.sqrt(len(gram)) * np.linalg.solve(root, inner)
        return Lasso(alpha, fit_intercept=False, tol=1e-10, max_iter=100_000).fit(design, y).coef_


@dataclass(frozen=True, eq=False)
class Synthetic:
    """50 players, of which 14 act: a logistic function of their weighted sum, plus 14 pair terms.

    The moments of every law that depends on the size of coalitions alone are sums over the 2^14 coalitions of the
    acting players and the number of others.

    Attributes
    ----------
    seed : int
    odd : bool
        No pair terms, and the logistic function's centre where half of the weight is present: the game minus its
        mean changes its sign with the complement, so that pairs of complements have nothing to cancel.
    """

    seed: int
    odd: bool = False
    n: int = PLAYERS

    @cached_property
    def _terms(self):
        rng = np.random.default_rng(self.seed)
        pairs = list(combinations(range(ACTIVE), 2))
        chosen = rng.choice(len(pairs), ACTIVE, replace=False)
        return rng.normal(size=ACTIVE), np.array(pairs)[chosen], 0.1 * rng.normal(size=ACTIVE)

    @property
    def name(self):
        """For tables."""
        return f"game {self.seed}{', odd' if self.odd else ''}"

    @property
    def x(self):
        """The input: every player is one scalar."""
        return torch.ones(1, self.n)

    def scores(self, coalitions):
        """(k, 1)."""
        weights, pairs, sizes = self._terms
        z = coalitions[:, :ACTIVE].astype(float)
        if self.odd:
            return expit((z - 0.5) @ weights)[:, None]
        return (expit(z @ weights) + z[:, pairs[:, 0]] * z[:, pairs[:, 1]] @ sizes)[:, None]

    @cached_property
    def _active(self):
        """All coalitions of the acting players, their sizes and scores."""
        subsets = (np.arange(2**ACTIVE)[:, None] >> np.arange(ACTIVE) & 1).astype(bool)
        return subsets, subsets.sum(1), self.scores(subsets)[:, 0]

    def moments(self, mass):
        """Moments when coalitions of size s weigh mass[s] together, (n+1,)."""
        n, k = self.n, ACTIVE
        subsets, sizes, scores = self._active
        s, t = np.arange(n + 1), np.arange(k + 1)[:, None]
        fits = (s >= t) & (s - t <= n - k)
        share = np.zeros((k + 1, n + 1))  # of coalitions of size s that hold one given subset of size t
        share[fits] = np.exp((_log_binomial(n - k, s - t) - _log_binomial(n, s))[fits])
        weight, others = share @ mass, ((s - t) / (n - k) * share) @ mass
        wzy = np.full(n, scores @ others[sizes])
        wzy[:k] = (scores * weight[sizes]) @ subsets
        one, both = mass @ s / n, mass @ (s * (s - 1)) / (n * (n - 1))
        wzz = np.full((n, n), both) + (one - both) * np.eye(n)
        return Moments(mass.sum(), np.full(n, one), wzz, scores @ weight[sizes], wzy)

    @cached_property
    def shapley(self):
        """Shapley values (n,); players that do not act have 0."""
        subsets, sizes, scores = self._active
        joining = np.exp(-_log_binomial(ACTIVE - 1, np.arange(ACTIVE))) / ACTIVE
        values = np.zeros(self.n)
        for i in range(ACTIVE):
            without = np.flatnonzero(~subsets[:, i])
            values[i] = joining[sizes[without]] @ (scores[without | 1 << i] - scores[without])
        return values


def _log_binomial(n, s):
    with np.errstate(invalid="ignore"):
        return gammaln(n + 1) - gammaln(s + 1) - gammaln(np.maximum(n - s, 0) + 1)


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo, its superpixels and a network; grey takes the place of what is absent. No coalition is scored twice.

    Attributes
    ----------
    name, model : str
    labels : int64 array (H, W)
    image : Tensor (1, 3, H, W)
    target : int
        Class that the network gives the photo.
    cache : Path
        File of scores.
    """

    name: str
    model: str
    labels: np.ndarray
    image: torch.Tensor
    network: "Network"
    cache: Path
    _known: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.n > 64:
            raise ValueError(f"{self.name} has {self.n} superpixels, more than the 64 bits of a key")
        if self.cache.exists():
            with np.load(self.cache) as saved:
                self._known.update(zip(saved["keys"].tolist(), saved["scores"], strict=True))

    @property
    def n(self):
        """Superpixels."""
        return int(self.labels.max()) + 1

    @cached_property
    def x(self):
        """One scalar per superpixel, as long as its part of the image: Captum's kernel sees no difference."""
        squares = (self.image[0].double() ** 2).sum(0).numpy()
        return torch.from_numpy(np.sqrt(np.bincount(self.labels.ravel(), squares.ravel())))[None].float()

    @cached_property
    def target(self):
        """The class that is explained."""
        with torch.no_grad():
            return int(self.network(self.image)[0].argmax())

    def scores(self, coalitions):
        """Logit and probability of the class, (k, 2)."""
        keys = coalition_keys(coalitions).tolist()
        new = {key: row for row, key in enumerate(keys) if key not in self._known}
        if new:
            found = self._game(coalitions[list(new.values())])
            self._known.update(zip(new, found, strict=True))
        return np.stack([self._known[key] for key in keys])

    def save(self):
        """Remember the scores on disk."""
        keys = np.array(list(self._known), dtype=np.uint64)
        np.savez_compressed(self.cache, keys=keys, scores=np.stack(list(self._known.values())))

    @cached_property
    def _game(self):
        def forward(images):
            logits = self.network(images)
            return torch.stack([logits[:, self.target], logits.softmax(1)[:, self.target]], 1)

        return Game(MaskedModel(forward, self.image, batch_size=BATCH), self.labels)


class Network:
    """EfficientNet-Lite0 or -Lite1, made when it is first needed."""

    def __init__(self, name, *, compiled):
        self.name, self.compiled = name, compiled

    @cached_property
    def _module(self):
        module = network(self.name).to(memory_format=torch.channels_last)
        return faster(module) if self.compiled else module

    @torch.no_grad()
    def __call__(self, images):
        """Logits (k, 1000) of at most `BATCH` images: always one full batch, for which it is compiled."""
        filled = torch.cat([images, images[:1].expand(BATCH - len(images), *images.shape[1:])])
        return self._module(filled.contiguous(memory_format=torch.channels_last))[: len(images)]


def photos(folders, net, cache, most):
    """The first photos of some folders as games of one network."""
    cache.mkdir(parents=True, exist_ok=True)
    paths = [p for folder in folders for p in sorted(folder.iterdir()) if p.suffix.lower() in _PHOTOS]
    preprocess = Preprocess((SIDE, SIDE), round(SIDE / 0.875), (0.498,) * 3, (0.502,) * 3)
    for path in paths[:most]:
        with Image.open(path) as image:
            pixels = preprocess.crop(image)
        labels = segmentation.slic(pixels, n_segments=SEGMENTS)
        file = cache / f"{path.stem}.{net.name}.{SIDE}.slic{SEGMENTS}.npz"
        yield Photo(path.stem, net.name, labels, preprocess.normalized(pixels), net, file)


def seed_of(game, run):
    """Belongs to the game and the run."""
    return zlib.crc32(game.name.encode()) % 10**6 * 10 + run
