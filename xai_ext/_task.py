"""What a method gets and returns when methods of several hosts are compared."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xai_ext._types import FloatArray, IntArray


class Unsupported(Exception):
    """A method cannot explain this model; the message says why."""

    status = "unsupported"


class Skipped(Unsupported):
    """A method needs more than the budget; the message says how much."""

    status = "skipped"


class Cancelled(BaseException):
    """Stop before the next batch; no library that catches ``Exception`` swallows it."""


class CountedModel(nn.Module):
    """A module that counts the rows and seconds of its forwards and backwards.

    Counting at the model, not by a method's own parameter, is what makes budgets of different hosts comparable.

    Attributes
    ----------
    n_forward, n_backward : int
        Rows.
    seconds : float
        Spent inside the module.
    """

    def __init__(self, module: nn.Module, on_rows: Callable[[int], None] | None = None) -> None:
        super().__init__()
        self.module = module
        self.training = module.training
        self.n_forward, self.n_backward, self.seconds = 0, 0, 0.0
        self._on_rows = on_rows

    @property
    def explained_model(self) -> nn.Module:
        """What measurements of this model are remembered under."""
        return self.module

    @property
    def cost(self) -> int:
        """Rows in units of one forward; a backward row counts as two."""
        return self.n_forward + 2 * self.n_backward

    @contextmanager
    def shown_as(self, module: nn.Module) -> Iterator["CountedModel"]:
        """Inside, rows go through another module that computes the same."""
        own, self.module = self.module, module
        try:
            yield self
        finally:
            self.module = own

    def forward(self, images: Tensor) -> Tensor:
        """Scores (k, n_outputs) of images (k, ...)."""
        start = time.perf_counter()
        output: Tensor = self.module(images)
        self.seconds += time.perf_counter() - start
        self.n_forward += len(images)
        if self._on_rows is not None:
            self._on_rows(len(images))
        if output.requires_grad and images.requires_grad:
            self._time_backward(images, output)
        return output

    def _time_backward(self, images: Tensor, output: Tensor) -> None:
        started: list[float] = []

        def begin(_: Tensor) -> None:
            self.n_backward += len(images)
            started.append(time.perf_counter())

        def end(_: Tensor) -> None:
            if started:
                self.seconds += time.perf_counter() - started.pop()

        output.register_hook(begin)  # type: ignore[no-untyped-call]
        images.register_hook(end)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Size:
    """What a cost depends on: the budget, the number of shared regions, height and width."""

    budget: int
    n_regions: int
    sides: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Task:
    """One image, one target, one budget.

    Attributes
    ----------
    model : CountedModel
    x, baseline : Tensor (1, C, H, W)
        In the model's input space.
    target : int or None
        The explained output; None for a model with one score per row.
    labels : int64 array (H, W)
        The regions that all region methods share.
    budget : int
        Cost that must not be exceeded, see `CountedModel.cost`.
    batch_size : int
        Rows per forward call for hosts that must be told.
    layer : str or None
        The convolutional layer of layer methods.
    seed : int
        63 bits.
    hosts : {"prepared", "as-is"}
        Do methods that hook activations get a copy of the network in which each call has a module of its own?
    f_input, f_baseline : float
        The explained output of `x` and `baseline`; NaN where unknown.
    """

    model: CountedModel
    x: Tensor
    baseline: Tensor
    target: int | None
    labels: IntArray
    budget: int
    batch_size: int
    layer: str | None
    seed: int
    hosts: str = "prepared"
    f_input: float = float("nan")
    f_baseline: float = float("nan")

    @property
    def n_regions(self) -> int:
        """Shared regions."""
        return int(self.labels.max()) + 1

    @property
    def size(self) -> Size:
        """What costs depend on."""
        height, width = self.labels.shape
        return Size(self.budget, self.n_regions, (height, width))

    def layer_module(self) -> nn.Module:
        """The module named by `layer`."""
        if self.layer is None:
            raise Unsupported("the model has no layer with a 2-D map; fix: --layer NAME")
        return self.model.module.get_submodule(self.layer)

    def array(self, tensor: Tensor) -> FloatArray:
        """A tensor (1, C, H, W) as an array (H, W, C), what lime and SHAP take."""
        return np.ascontiguousarray(tensor[0].movedim(0, -1).cpu().numpy())

    def column(self, images: np.ndarray) -> FloatArray:
        """Scores of the target, (k, 1), of arrays (k, H, W, C)."""
        with torch.no_grad():
            scores = self.model(torch.from_numpy(np.ascontiguousarray(images)).movedim(-1, 1).to(self.x))
        scores = scores[:, None] if self.target is None else scores[:, self.target, None]
        return np.asarray(scores.double().cpu().numpy())


@dataclass(frozen=True, eq=False)
class MapResult:
    """A method's map: (H, W) densities, channels summed, a region's value divided by its pixels.

    `status` other than "ok", such as "degenerate", is for maps that are shown all the same.
    """

    values: FloatArray
    std_error: FloatArray | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    status: str = "ok"


@dataclass(frozen=True)
class Method:
    """A method of any host, by name.

    Attributes
    ----------
    name, host, features : str
        `features`: what gets a value: "segments", "windows", "pixels", "rectangles", "layer".
    draws : bool
        Does the result depend on the seed?
    run : callable
        Task -> MapResult; raises `Unsupported` where the host refuses the model. Its keyword-only parameters are
        the method's settings.
    fixed_cost : int, optional
        Cost that does not follow the budget, see `CountedModel.cost`.
    needs : frozenset of {"gradient", "layer", "relu"}
        What the model must have.
    complete : bool
        Should the values sum to f(x) - f(baseline)?
    plan : callable, optional
        `Size` -> cost of one run, where it is known before: raises `Skipped` below the least budget.
    """

    name: str
    host: str
    features: str
    draws: bool
    run: Callable[..., MapResult]
    fixed_cost: int | None = None
    needs: frozenset[str] = frozenset()
    complete: bool = False
    plan: Callable[[Size], int] | None = None

    def planned_cost(self, size: Size) -> int:
        """Cost of one run; the budget where a tree, a refinement or coalitions drawn twice may leave part of it."""
        if self.fixed_cost is not None:
            return self.fixed_cost
        try:
            return size.budget if self.plan is None else self.plan(size)
        except Skipped:
            return 0


def density(labels: IntArray, values: FloatArray) -> FloatArray:
    """Region values (n,) as a map (H, W): each pixel carries its region's value divided by the region's pixels."""
    return np.asarray((values / np.bincount(labels.ravel()))[labels])
