"""The two views of a black box that every method is written against."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from warnings import warn

import numpy as np
import torch
from torch import Tensor

from xai_ext._arguments import Baselines, Inputs, as_tuple, format_baselines
from xai_ext._batching import Plan, as_format, measured_plan
from xai_ext._checks import (
    InputError,
    check_at_least,
    check_broadcasts,
    check_coalitions,
    check_contiguous_ids,
    check_finite_scores,
    check_labels,
)
from xai_ext._guard import Guard
from xai_ext._mixing import Chosen, Operand
from xai_ext._types import AnyArray, BoolArray, FloatArray

Keep = Callable[[slice], tuple[Tensor | Chosen, ...]]
Fill = Callable[[tuple[Tensor, ...], tuple[Tensor, ...]], tuple[Tensor, ...]]


class MaskedModel:
    """Scores of one input of which only a part is kept; the rest is its baseline.

    The only caller of the user's model: it batches, counts evaluations and refuses non-finite scores. It runs
    under ``torch.no_grad`` in the mode that the model is in, and needs memory for one batch, whatever the budget.

    Parameters
    ----------
    forward : callable
        Images (k, *shape), one tensor per input -> scores (k,), (k, n_outputs) or (k, ...).
    inputs : Tensor (1, *shape), or a tuple of them
        What is explained. A first dimension N > 1 is replaced as a whole, for functions that give one answer
        per batch; it needs ``batch_size=1``.
    baselines : number, Tensor, tuple or callable
        What takes the place of what is not kept; None is 0.
    batch_size : int, optional
        Rows per forward call. None: the fastest one, timed once per model and shape, with the memory format
        (these timing calls are not counted in `n_evals`).
    full_value : Tensor, optional
        The score of the whole input where it is known already; it counts as one evaluation.
    fill : callable, optional
        ``fill(inputs, keep) -> images`` instead of a baseline, for fills that depend on the mask: tuples with one
        entry per input, bool masks (k, ...) that broadcast to the input's shape, images (k, *shape).

    Attributes
    ----------
    n_evals : int
        Evaluations so far.
    output_shape : tuple of int
        Shape of one score, known after the first evaluation; () for a scalar model.
    dtype : torch.dtype
        Of the model's scores.
    """

    def __init__(
        self,
        forward: Callable[..., Tensor],
        inputs: Inputs,
        baselines: Baselines = None,
        *,
        batch_size: int | None = None,
        full_value: Tensor | None = None,
        fill: Fill | None = None,
    ) -> None:
        self.forward = forward
        self.inputs = tuple(x.detach() for x in as_tuple(inputs))
        self.baselines = format_baselines(baselines, self.inputs)
        self.n_evals = 0
        self.output_shape: tuple[int, ...] = ()
        self.dtype = torch.float32
        self._fill, self._guard = fill, Guard(forward)
        self._halved = False
        self._on_forward: list[Callable[[int], None]] = []
        self._plan = None if batch_size is None else Plan(check_at_least("batch_size", batch_size, 1))
        if any(len(x) > 1 for x in self.inputs) and batch_size != 1:
            raise InputError(
                f"inputs must hold one example, got shapes {[tuple(x.shape) for x in self.inputs]}; fix: one "
                "MaskedModel per example, or batch_size=1 for a function that gives one answer per batch"
            )
        if full_value is not None:
            self.n_evals, self.full_value = 1, self._as_scores(full_value, 1)[0]

    @torch.no_grad()
    def __call__(self, masks: Tensor | AnyArray | tuple[Tensor, ...]) -> FloatArray:
        """Scores of the masked input.

        Parameters
        ----------
        masks : array (k, *spatial), or a tuple with one per input
            1 (True) keeps an element, 0 replaces it by the baseline, values between mix the two. Its shape
            broadcasts from the right to the input's: (k, H, W) serves all channels of (C, H, W).

        Returns
        -------
        array (k, n_outputs)
        """
        given = masks if isinstance(masks, tuple) else (masks,) * len(self.inputs)
        tensors = tuple(_as_mask(m) for m in given)
        for mask, x in zip(tensors, self.inputs, strict=True):
            check_broadcasts("masks (without their first dimension)", tuple(mask.shape[1:]), tuple(x.shape[1:]))
        return self.evaluate(len(tensors[0]), lambda rows: tuple(m[rows] for m in tensors))

    @torch.no_grad()
    def evaluate(self, size: int, keep: Keep) -> FloatArray:
        """Scores (size, n_outputs) of masks that are made batch by batch.

        Parameters
        ----------
        size : int
            Number of evaluations.
        keep : callable
            Slice of rows -> one mask (rows, *spatial) per input, bool or float; or one `Chosen`.
        """
        with self._guard():
            return self._evaluated(size, keep)

    def _evaluated(self, size: int, keep: Keep) -> FloatArray:
        scores = np.zeros((0, int(np.prod(self.output_shape))))
        start = 0
        while start < size:
            rows = slice(start, min(start + self.batch_size, size))
            try:
                part = self._score(keep(rows), rows.stop - start)
            except torch.OutOfMemoryError as error:
                self._halve_batch(error)
                continue
            if start == 0:  # one array for all: small ones kept between batches would fragment the heap
                scores = np.empty((size, part.shape[1]))
            scores[rows] = part
            start = rows.stop
        return scores

    @cached_property
    def full_value(self) -> FloatArray:
        """f(x), of shape (n_outputs,)."""
        return self._at(True)

    @cached_property
    def base_value(self) -> FloatArray:
        """f(baseline), of shape (n_outputs,)."""
        return self._at(False)

    @property
    def batch_size(self) -> int:
        """Rows per forward call."""
        return self._current_plan().batch_size

    @contextmanager
    def reporting(self, on_forward: Callable[[int], None]) -> Iterator[None]:
        """Call ``on_forward(rows)`` after each forward inside the block: what a progress bar needs."""
        self._on_forward.append(on_forward)
        try:
            yield
        finally:
            self._on_forward.remove(on_forward)

    def images(self, keep: tuple[Tensor | Chosen, ...]) -> tuple[Tensor, ...]:
        """The masked inputs themselves, (k, *shape) each; nothing is evaluated."""
        if self._fill is not None:
            return self._fill(self.inputs, tuple(map(_plain, keep, self.inputs)))
        return tuple(operand.mixed(mask) for operand, mask in zip(self._operands, keep, strict=True))

    def _at(self, kept: bool) -> FloatArray:
        masks = tuple(torch.full((1,), kept) for _ in self.inputs)
        return np.asarray(self.evaluate(1, lambda _: masks)[0])

    def _current_plan(self) -> Plan:
        if self._plan is None:
            self._plan = measured_plan(self.forward, self.inputs)
        return self._plan

    def _halve_batch(self, error: torch.OutOfMemoryError) -> None:
        plan = self._current_plan()
        if plan.batch_size == 1:
            raise torch.OutOfMemoryError(
                f"out of memory at a batch size of 1 row: {error}; fix: smaller inputs, or another device"
            ) from error
        if not self._halved:
            warn(f"out of memory at {plan.batch_size} rows per call: the batch is halved until it fits", stacklevel=5)
        self._halved = True
        torch.cuda.empty_cache()
        self._plan = Plan(plan.batch_size // 2, plan.memory_format)

    def _score(self, keep: tuple[Tensor | Chosen, ...], size: int) -> FloatArray:
        scores = self._as_scores(self.forward(*self.images(keep)), size)
        self.n_evals += size
        for report in self._on_forward:
            report(size)
        return scores

    @cached_property
    def _operands(self) -> list[Operand]:
        memory_format = self._current_plan().memory_format
        return [
            Operand(as_format(x, memory_format), as_format(b, memory_format))
            for x, b in zip(self.inputs, self.baselines, strict=True)
        ]

    def _as_scores(self, output: Tensor, size: int) -> FloatArray:
        if not isinstance(output, Tensor) or output.dim() == 0 or output.shape[0] != size:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise InputError(f"forward must return one score per row, a tensor of shape ({size}, ...), got {shape}")
        self.output_shape, self.dtype = tuple(output.shape[1:]), output.dtype
        scores = output.detach().reshape(size, -1).to("cpu", torch.float64).numpy()
        check_finite_scores(scores, self.n_evals)
        return scores


def _plain(keep: Tensor | Chosen, x: Tensor) -> Tensor:
    """A bool mask (k, ...) with as many dimensions as ``x``."""
    mask = keep.mask(x) if isinstance(keep, Chosen) else keep
    return mask.bool().reshape(len(mask), *(1,) * (x.dim() - mask.dim()), *mask.shape[1:])


def _as_mask(given: Tensor | AnyArray) -> Tensor:
    mask = torch.as_tensor(given)
    return mask if mask.is_floating_point() else mask.bool()


class Game:
    """A `MaskedModel` seen through regions: the value function of a cooperative game.

    Parameters
    ----------
    masked_model : MaskedModel
    labels : integer array, or a tuple with one per input
        The player of each element, 0..n-1 without gaps; broadcasts from the right to the input's shape, so
        that (H, W) serves an image (1, C, H, W). Equal numbers in two inputs are one player.

    Attributes
    ----------
    n_players : int
    labels : tuple of int64 arrays, one per input
    """

    def __init__(self, masked_model: MaskedModel, labels: Any) -> None:
        self.masked_model = masked_model
        given = labels if isinstance(labels, tuple) else (labels,)
        if len(given) != len(masked_model.inputs):
            raise InputError(f"labels must hold one array per input ({len(masked_model.inputs)}), got {len(given)}")
        tensors = tuple(
            check_labels(torch.as_tensor(a)).to(x.device) for a, x in zip(given, masked_model.inputs, strict=True)
        )
        for tensor, x in zip(tensors, masked_model.inputs, strict=True):
            check_broadcasts("labels", tuple(tensor.shape), tuple(x.shape[1:]))
        self.n_players = check_contiguous_ids(
            torch.cat([t.flatten().cpu() for t, x in zip(tensors, masked_model.inputs, strict=True) if x.numel()])
        )
        self._labels = tensors
        self.labels = tuple(t.cpu().numpy() for t in tensors)

    def __call__(self, coalitions: BoolArray) -> FloatArray:
        """Values (k, n_outputs) of coalitions (k, n_players); True keeps a player."""
        rows = torch.from_numpy(check_coalitions(coalitions, self.n_players))
        return self.masked_model.evaluate(len(rows), lambda part: self._keep(rows[part]))

    def images(self, coalitions: BoolArray) -> tuple[Tensor, ...]:
        """The masked inputs of coalitions (k, n_players), (k, *shape) each; nothing is evaluated."""
        return self.masked_model.images(self._keep(torch.from_numpy(check_coalitions(coalitions, self.n_players))))

    @property
    def full_value(self) -> FloatArray:
        """Value of the grand coalition, (n_outputs,)."""
        return self.masked_model.full_value

    @property
    def base_value(self) -> FloatArray:
        """Value of the empty coalition, (n_outputs,)."""
        return self.masked_model.base_value

    @property
    def n_evals(self) -> int:
        """Evaluations so far."""
        return self.masked_model.n_evals

    def _keep(self, coalitions: Tensor) -> tuple[Chosen, ...]:
        return tuple(Chosen(coalitions, players) for players in self._labels)
