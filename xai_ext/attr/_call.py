"""One call of ``attribute``: Captum's arguments in, one game per example out, and back into Captum's shapes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from xai_ext._arguments import (
    Baselines,
    Inputs,
    Target,
    as_tuple,
    batch_size,
    example,
    example_args,
    format_baselines,
    format_labels,
    format_targets,
    plain_args,
)
from xai_ext._captum_compat import progress
from xai_ext._checks import InputError, check_at_least
from xai_ext._forward import BoundForward, as_row, select
from xai_ext._guard import Guard
from xai_ext._types import IntArray
from xai_ext.explanation import Explanation
from xai_ext.game import Game, MaskedModel


@dataclass(frozen=True, eq=False)
class Example:
    """One game: an example of the batch, or the whole batch where the model gives one answer for it.

    `ids` are the players' numbers in the feature mask, ascending.
    """

    game: Game
    ids: IntArray
    inputs: Inputs
    baselines: Any
    feature_mask: Any


class Arguments(NamedTuple):
    """What Captum's users pass first, in their order."""

    inputs: Inputs
    baselines: Baselines
    target: Target
    additional_forward_args: Any
    feature_mask: Any


def numbered(inputs: tuple[Tensor, ...], shapes: list[tuple[int, ...]]) -> tuple[Tensor, ...]:
    """One player per position of each shape, numbered through all inputs; shapes broadcast to an example's."""
    sizes = [int(np.prod(shape)) if x.numel() else 0 for x, shape in zip(inputs, shapes, strict=True)]
    starts = np.cumsum([0, *sizes]).tolist()
    return tuple(
        torch.arange(start, start + size, device=x.device).reshape(1, *(shape if x.numel() else (0,)))
        for x, shape, start, size in zip(inputs, shapes, starts, sizes, strict=False)
    )


def scalars(inputs: tuple[Tensor, ...], aggregate: bool) -> tuple[Tensor, ...]:
    """Every scalar of an example its own player: Captum's default."""
    del aggregate
    return numbered(inputs, [tuple(x.shape[1:]) for x in inputs])


class Call:
    """The arguments of one ``attribute`` call, checked, after the one forward on the unperturbed batch.

    Parameters
    ----------
    forward_func : callable
    arguments : Arguments
    perturbations_per_eval : int or None
    players : callable
        (inputs, aggregate) -> labels (1 or N, ...) per input, asked where there is no feature mask.
    shared : bool
        There, do the elements of a player share its value? Otherwise, and with a mask, each carries the whole.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        arguments: Arguments,
        perturbations_per_eval: int | None,
        players: Callable[[tuple[Tensor, ...], bool], tuple[Tensor, ...]] = scalars,
        *,
        shared: bool = True,
    ) -> None:
        inputs, baselines, target, additional_forward_args, feature_mask = arguments
        self.is_tuple = isinstance(inputs, tuple)
        self.inputs = as_tuple(inputs)
        self.n_examples = batch_size(self.inputs)
        self.baselines = format_baselines(baselines, self.inputs)
        self.targets = format_targets(target, self.n_examples)
        labels = format_labels(feature_mask, self.inputs)
        self._whole_values = labels is not None or not shared
        self._forward_func, self._args = forward_func, additional_forward_args
        if perturbations_per_eval is not None:
            check_at_least("perturbations_per_eval", perturbations_per_eval, 1)
        with Guard(forward_func)():
            self._output = forward_func(*self.inputs, *plain_args(additional_forward_args))
        self.aggregate = not (
            isinstance(self._output, Tensor) and self._output.dim() > 0 and len(self._output) == self.n_examples
        )
        self.labels = players(self.inputs, self.aggregate) if labels is None else labels
        self._rows = self._rows_per_call(perturbations_per_eval)

    def examples(self) -> Iterator[Example]:
        """The games of this call, in batch order."""
        for i in range(1 if self.aggregate else self.n_examples):
            yield self._example(i)

    def _rows_per_call(self, perturbations_per_eval: int | None) -> int | None:
        if not self.aggregate:
            sizes = {len(x) for x in self.inputs if x.numel()}
            if len(sizes) > 1:
                raise InputError(f"inputs must agree in dimension 0, the examples, got {sorted(sizes)}")
            return None if perturbations_per_eval is None else perturbations_per_eval * self.n_examples
        if perturbations_per_eval not in (None, 1):
            raise InputError(
                f"perturbations_per_eval must be 1 when the model gives one answer per batch, got "
                f"{perturbations_per_eval}"
            )
        if any(len(a) > 1 for a in self.labels):
            raise InputError("feature_mask must be the same for all examples when the model gives one answer per batch")
        return 1

    def _example(self, i: int) -> Example:
        if self.aggregate:
            inputs, baselines, labels = self.inputs, self.baselines, self.labels
            forward = BoundForward(self._forward_func, None, plain_args(self._args), aggregate=True)
            full_value = as_row(self._output)
        else:
            inputs, baselines, labels = (example(t, i) for t in (self.inputs, self.baselines, self.labels))
            args = example_args(self._args, self.n_examples, i)
            forward = BoundForward(self._forward_func, self.targets[i], args)
            full_value = select(self._output[i : i + 1], self.targets[i])
        model = MaskedModel(forward, inputs, baselines, batch_size=self._rows, full_value=full_value)
        players, ids = _players(labels, inputs)
        mine = (t if self.is_tuple else t[0] for t in (inputs, baselines, labels))
        return Example(Game(model, players), ids, *mine)

    def attributions(self, explanations: list[Explanation], dtype: torch.dtype) -> Inputs:
        """Tensors shaped like the inputs, in the inputs' form.

        Each element carries the value of its player if there is a feature mask, else its equal share of it.
        """
        tensors = tuple(self._like(j, explanations, dtype) for j in range(len(self.inputs)))
        return tensors if self.is_tuple else tensors[0]

    def coefficients(self, explanations: list[Explanation], ids: list[IntArray], dtype: torch.dtype) -> Tensor:
        """(N, K), or (N, *outputs, K); column j belongs to id ``min + j`` of the feature mask, absent ids are 0."""
        low = min(int(i.min()) for i in ids)
        width = max(int(i.max()) for i in ids) - low + 1
        rows = []
        for explanation, present in zip(explanations, ids, strict=True):
            row = np.zeros((width, *explanation.values.shape[1:]))
            row[present - low] = explanation.values
            rows.append(torch.from_numpy(row).movedim(0, -1))
        return self.stacked(rows).to(self._device, dtype).contiguous()

    def deltas(self, explanations: list[Explanation], dtype: torch.dtype) -> Tensor:
        """Sum of the players' values minus (f(x) - f(baseline)), (N,) or (N, *outputs): Captum's sign."""
        errors = [np.asarray(e.values.sum(0) - (e.full_value - e.base_value)) for e in explanations]
        return self.stacked([torch.from_numpy(e) for e in errors]).to(self._device, dtype)

    def stacked(self, rows: list[Tensor]) -> Tensor:
        """One row per example; where the batch has one answer, its outputs take the place of examples."""
        several = self.aggregate and isinstance(self._output, Tensor) and self._output.dim() > 0
        return rows[0] if several else torch.stack(rows)

    @property
    def _device(self) -> torch.device:
        return self.inputs[0].device

    def _like(self, index: int, explanations: list[Explanation], dtype: torch.dtype) -> Tensor:
        x = self.inputs[index]
        if not x.numel():
            return torch.zeros_like(x, dtype=dtype)
        maps = [self._expanded(e, index, x.shape[1:]) for e in explanations]
        return self.stacked(maps).to(x.device, dtype).contiguous()

    def _expanded(self, explanation: Explanation, index: int, shape: torch.Size) -> Tensor:
        """A map with the outputs in front and the labels' dimensions broadcast to one input's shape."""
        outputs, labels = explanation.values.shape[1:], explanation.labels[index].shape
        if self._whole_values:
            array = explanation.region_map(index)
        else:
            array = explanation.density_map(index) * (np.prod(labels) / shape.numel())
        values = torch.from_numpy(array).reshape(*labels, -1).movedim(-1, 0)
        missing = (1,) * (len(shape) - len(labels))
        return values.reshape(*outputs, *missing, *labels).expand(*outputs, *shape)


def _players(labels: tuple[Tensor, ...], inputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], IntArray]:
    """The ids as players 0..n-1 without gaps, broadcast dimensions in front of the spatial ones dropped."""
    flat = torch.cat([a.flatten().cpu() for a, x in zip(labels, inputs, strict=True) if x.numel()])
    ids, inverse = _unique(flat)
    parts = iter(torch.split(inverse, [a.numel() for a, x in zip(labels, inputs, strict=True) if x.numel()]))
    players = (next(parts).reshape(a.shape) if x.numel() else a for a, x in zip(labels, inputs, strict=True))
    return tuple(_spatial(a[0], x.dim()) for a, x in zip(players, inputs, strict=True)), ids.numpy()


def _unique(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted ids and the position of each element's id among them; by counting where the ids are dense."""
    low, high = int(flat.min()), int(flat.max())
    if high - low > 4 * flat.numel():
        ids, inverse = torch.unique(flat, return_inverse=True)
        return ids, inverse
    present = torch.bincount(flat - low) > 0
    return present.nonzero().flatten() + low, (present.cumsum(0) - 1)[flat - low]


def _spatial(labels: Tensor, input_dim: int) -> Tensor:
    while labels.dim() > max(1, input_dim - 2) and labels.shape[0] == 1:
        labels = labels[0]
    return labels


@contextmanager
def reported(model: MaskedModel, update: Callable[[], Any] | None) -> Iterator[None]:
    """Move a progress bar by one with each forward call of the block."""
    if update is None:
        yield
        return
    with model.reporting(lambda _: update()):
        yield


@contextmanager
def captum_progress(name: str, total: int, *, enabled: bool) -> Iterator[Callable[[], Any] | None]:
    """Captum's progress bar of forward calls; it ends at 100 %, also when fewer calls were needed."""
    if not enabled:
        yield None
        return
    bar = progress(desc=f"{name} attribution", total=total)
    try:
        yield bar.update
        bar.total = bar.n
        bar.refresh()
    finally:
        bar.close()


def explained(
    examples: list[Example], explain: Callable[[Example], Explanation], name: str, n_samples: int, *, show: bool
) -> list[Explanation]:
    """The examples of a call, explained one after the other under one progress bar."""
    calls = sum(1 - (2 - n_samples) // e.game.masked_model.batch_size for e in examples) if show else 0
    explanations = []
    with captum_progress(name, calls, enabled=show) as update:
        for example in examples:
            with reported(example.game.masked_model, update):
                explanations.append(explain(example))
    return explanations
