"""Small models whose right explanation is known, and models that misbehave; all on the CPU."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xai_ext._types import FloatArray, IntArray
from xai_ext.testing.oracles import all_coalitions

N_OUTPUTS = 5


class _Model(nn.Module):
    """Has one parameter, so that its dtype can be told."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.unit = nn.Parameter(torch.ones((), dtype=dtype))


class Linear(_Model):
    """Scores (k, 5) linear in the input."""

    def __init__(self, shape: tuple[int, ...] = (3, 8, 8), dtype: torch.dtype = torch.float32) -> None:
        super().__init__(dtype)
        weight = np.random.default_rng(3).normal(size=(N_OUTPUTS, int(np.prod(shape))))
        self.weight = nn.Parameter(torch.from_numpy(weight).to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = x.flatten(1) @ self.weight.T
        return scores


def net(channels: int = 3, size: tuple[int, int] = (8, 8), *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Any:
    """A small convolutional network in eval mode, with dropout and batch statistics."""
    generator = torch.Generator().manual_seed(seed)
    layers = nn.Sequential(
        nn.BatchNorm2d(channels), nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(4 * (size[0] - 2) * (size[1] - 2), N_OUTPUTS),
    )  # fmt: skip
    for parameter in layers.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.4
    dict(layers.named_buffers())["0.running_mean"].copy_(torch.randn(channels, generator=generator) * 0.1)
    return layers.to(dtype).eval()


class Rows(nn.Module):
    """Evaluates a model row by row, so that a score does not depend on its batch."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, *args: Any) -> Tensor:
        return torch.cat([self.model(x[i : i + 1].contiguous()) for i in range(len(x))])


class GameModel(_Model):
    """A game as a model: an input of ones in n blocks side by side, absent blocks are 0.

    Parameters
    ----------
    table : array (2^n,)
        Values of the coalitions, numbered in binary.
    """

    def __init__(self, table: FloatArray, outputs: int = 0) -> None:
        super().__init__(torch.float64)
        self.table: Tensor
        self.register_buffer("table", torch.from_numpy(np.asarray(table, dtype=np.float64)))
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        present = x[:, 0, 0, ::2] > 0.5
        number = (present.long() << torch.arange(present.shape[1])).sum(1)
        scores = self.table[number]
        return torch.stack([scores * (i + 1) for i in range(self.outputs)], 1) if self.outputs else scores


def game_input(n: int) -> tuple[Tensor, IntArray]:
    """The input of a `GameModel` with n players, (1, 1, 2, 2 n) of ones, and its labels (2, 2 n)."""
    labels = np.tile(np.repeat(np.arange(n), 2), (2, 1))
    return torch.ones(1, 1, 2, 2 * n, dtype=torch.float64), labels


def games(n: int, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Tables of known games with n >= 2 players."""
    z = all_coalitions(n)
    return {
        "and": z[:, :2].all(1).astype(float),
        "xor": (z[:, 0] ^ z[:, 1]).astype(float),
        "majority": (z.sum(1) > n / 2).astype(float),
        "glove": np.minimum(z[:, : n // 2].sum(1), z[:, n // 2 :].sum(1)).astype(float),
        "random": rng.normal(size=2**n),
    }


class Blocks(_Model):
    """A function of the sums over 2x2 blocks of (3, 8, 8): 16 players. Scores (k, 5)."""

    def __init__(self, function: Callable[[Tensor], Tensor], dtype: torch.dtype = torch.float32) -> None:
        super().__init__(dtype)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        sums = x.sum(1).unfold(1, 2, 2).unfold(2, 2, 2).sum((-1, -2)).flatten(1)
        score = self.function(sums)
        scores: Tensor = torch.stack([score * (i + 1) for i in range(N_OUTPUTS)], 1) * self.unit
        return scores


def of_patch(sums: Tensor) -> Tensor:
    """Reads block 6 alone."""
    return 3 * sums[:, 6]


def ignoring_four(sums: Tensor) -> Tensor:
    """Reads blocks 0..11, pair by pair."""
    seen = sums[:, :12]
    return torch.tanh(seen).sum(1) + (seen[:, ::2] * seen[:, 1::2]).sum(1) * 0.1


def with_twins(sums: Tensor) -> Tensor:
    """Blocks 4 and 9 play the same part."""
    both = sums[:, 4] + sums[:, 9]
    return both + 0.01 * both * sums[:, 0] + torch.tanh(sums[:, 10:]).sum(1)


def constant(sums: Tensor) -> Tensor:
    """Reads nothing."""
    return sums[:, 0] * 0 + 2.5


class Affine(nn.Module):
    """``scale * model + shift * other``, or plus a constant."""

    def __init__(self, model: nn.Module, scale: float, shift: float, other: nn.Module | None = None) -> None:
        super().__init__()
        self.model, self.other, self.scale, self.shift = model, other, scale, shift

    def forward(self, x: Tensor) -> Tensor:
        score: Tensor = self.scale * self.model(x) + self.shift * (1 if self.other is None else self.other(x))
        return score


class Spy(nn.Module):
    """Counts calls and rows; may misbehave at one of them.

    Parameters
    ----------
    model : nn.Module
    value : float, optional
        What the score becomes at evaluation `at` (counted from 0).
    error : BaseException, optional
        What is raised at call `at` (counted from 1).
    limit : int, optional
        More rows than that are out of memory.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        at: int = -1,
        value: float | None = None,
        error: BaseException | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__()
        self.model, self.at, self.value, self.error, self.limit = model, at, value, error, limit
        self.calls: list[int] = []
        self.raised = 0

    @property
    def rows(self) -> int:
        """Rows so far."""
        return sum(self.calls)

    def forward(self, x: Tensor, *args: Any) -> Tensor:
        if self.limit is not None and len(x) > self.limit:
            raise torch.OutOfMemoryError(f"CUDA out of memory (pretended) for {len(x)} rows")
        before = self.rows
        self.calls.append(len(x))
        if self.error is not None and len(self.calls) >= self.at:
            self.raised += 1
            raise self.error
        scores: Tensor = self.model(x, *args)
        if self.value is not None and before <= self.at < before + len(x):
            scores = scores.clone()
            scores[self.at - before] = self.value
        return scores


class Caching(_Model):
    """Keeps a tensor that was made in its first forward."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 192))
        self.table: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.table is None:
            self.table = torch.linspace(0.5, 1.5, 192)
        score = (x.flatten(1) * self.weight * self.table).sum(1)
        return torch.stack([score * (i + 1) for i in range(N_OUTPUTS)], 1)


class WithArguments(_Model):
    """Takes a scale per row and a table (7,)."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[Tensor] = []

    def forward(self, x: Tensor, scale: Tensor, table: Tensor) -> Tensor:
        self.tables.append(table)
        score = x.flatten(1).tanh().sum(1) * scale[:, 0] * table.sum()
        return torch.stack([score * (i + 1) for i in range(N_OUTPUTS)], 1)


class TolerantOfNaN(_Model):
    """Reads NaN as 0."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(next(model.parameters()).dtype)
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        score: Tensor = self.model(torch.where(x.isnan(), 0.0, x))
        return score


class Flipped(nn.Module):
    """A model of the mirrored image."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        score: Tensor = self.model(x.flip(-1))
        return score


def images(n: int = 2, channels: int = 3, size: tuple[int, int] = (8, 8), *, seed: int = 0) -> Tensor:
    """Normal noise (n, channels, *size), float32."""
    return torch.randn(n, channels, *size, generator=torch.Generator().manual_seed(seed + 1))


def grid_labels(size: tuple[int, int] = (8, 8)) -> IntArray:
    """Blocks of 2x2 pixels, numbered row by row."""
    rows, columns = np.arange(size[0]) // 2, np.arange(size[1]) // 2
    return np.asarray(rows[:, None] * (columns[-1] + 1) + columns)
