"""One row of a SHAP call: the game it defines, and its Explanation in SHAP's shapes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shap
import torch
from torch import Tensor

from xai_ext._checks import InputError, InputTypeError
from xai_ext._forward import NumpyForward
from xai_ext._shap_compat import OpChain, ShapMaskedModel
from xai_ext._types import AnyArray, FloatArray
from xai_ext.explanation import Explanation
from xai_ext.game import Game, MaskedModel


@dataclass(frozen=True, eq=False)
class Linked:
    """A SHAP model followed by its link function and a choice of outputs."""

    function: Callable[..., Any]
    link: Callable[..., Any]
    outputs: tuple[int, ...] | None = None

    def __call__(self, images: AnyArray) -> FloatArray:
        """Scores (k,) or (k, n_outputs) of rows (k, ...)."""
        return self._linked(np.asarray(self.function(images)))

    def on_tensor(self, images: Tensor) -> Tensor:
        """The same for a function that takes tensors too, which saves the way through the host's memory."""
        return torch.from_numpy(self._linked(self.function.on_tensor(images).cpu().numpy()))  # type: ignore[attr-defined]

    @property
    def explained_model(self) -> Any:
        """What measurements of this model are remembered under."""
        return self.function

    def _linked(self, scores: AnyArray) -> FloatArray:
        values = np.asarray(self.link(scores), dtype=np.float64)
        return values if self.outputs is None else values[:, list(self.outputs)]


@dataclass(frozen=True, eq=False)
class ChannelsLast:
    """A forward function of images (k, H, W, C) as one of (k, C, H, W)."""

    explained_model: Callable[..., Tensor]

    def __call__(self, images: Tensor) -> Tensor:
        """Its scores."""
        return self.explained_model(images.movedim(1, -1).contiguous())


@dataclass(frozen=True, eq=False)
class Row:
    """The game of one row `x`, the shape of its values, and which outputs are explained (None: a scalar model)."""

    x: Any
    game: Game
    mask_shape: tuple[int, ...]
    outputs: tuple[int, ...] | None
    batch_size: int | None

    def channels_first(self) -> MaskedModel:
        """The model of the game with its image as (1, C, H, W), as methods that build trees from it expect."""
        model = self.game.masked_model
        x, baseline = (image.movedim(-1, 1) for image in (*model.inputs, *model.baselines))
        full_value = torch.from_numpy(model.full_value).reshape(1, *model.output_shape)
        forward = ChannelsLast(model.forward)
        return MaskedModel(forward, x, baseline, batch_size=self.batch_size, full_value=full_value)

    def result(self, explanation: Explanation, *, has_errors: bool) -> dict[str, Any]:
        """What ``explain_row`` returns to SHAP: the density of the values, flat, and its standard error."""
        shape = (*self.mask_shape, *explanation.values.shape[1:])
        values = explanation.density_map().reshape(-1, *explanation.values.shape[1:])
        errors = replace(explanation, values=explanation.std_error)
        base = explanation.base_value
        return {
            "values": values,
            "expected_values": base if base.ndim else float(base),
            "mask_shapes": [shape],
            "error_std": errors.density_map().reshape(shape) if has_errors else None,
            "output_indices": None if self.outputs is None else list(self.outputs),
            "output_names": None if self.outputs is None else [f"Output {i}" for i in self.outputs],
            "clustering": None,
            "hierarchical_values": None,
            "main_effects": None,
        }


def row_game(model: Linked, masker: Any, x: Any, outputs: Any, batch_size: int | None) -> Row:
    """The game of one row: over the masker's regions, or over the columns of a masker of SHAP's own."""
    parts = _regions(model, masker, x) if hasattr(masker, "labels_of") else _columns(model, masker, x)
    return _row(parts, model, x, outputs, batch_size)


def row_image(model: Linked, masker: Any, x: Any, outputs: Any, batch_size: int | None) -> Row:
    """The same over the pixels of an image, whatever regions the masker has."""
    shape, got = tuple(masker.image_shape), np.shape(x)
    if got != shape:
        raise InputError(f"the masker is for images of shape {shape}, got a row of shape {got}; fix: x[None]")
    labels = np.arange(shape[0] * shape[1]).reshape(shape[:2])
    return _row(_image(model, np.asarray(x), masker, labels, (*shape[:2], 1)), model, x, outputs, batch_size)


def check_image_masker(masker: Any, name: str) -> None:
    """Methods that mask pixels need an image and one baseline of it."""
    if not (hasattr(masker, "image_shape") and hasattr(masker, "baseline_of")):
        raise InputTypeError(
            f"{name} masks pixels and needs a masker with image_shape and baseline_of, got {type(masker).__name__}; "
            "fix: xai_ext.maskers.BPT(image, baseline)"
        )


def _row(parts: "_Parts", model: Linked, x: Any, outputs: Any, batch_size: int | None) -> Row:
    full = parts.masked(model, batch_size)
    chosen = _chosen(outputs, full.full_value, scalar=not full.output_shape)
    if chosen is not None and outputs is not None:
        known = torch.from_numpy(full.full_value[list(chosen)])[None]
        full = parts.masked(replace(model, outputs=chosen), batch_size, known)
    return Row(x, Game(full, parts.labels), parts.mask_shape, chosen, batch_size)


@dataclass(frozen=True, eq=False)
class _Parts:
    """What a masker makes of one row."""

    forward: Callable[[Linked], Callable[..., Tensor]]
    inputs: Tensor
    baselines: Tensor
    labels: AnyArray
    mask_shape: tuple[int, ...]

    def masked(self, model: Linked, batch_size: int | None, full_value: Tensor | None = None) -> MaskedModel:
        forward = self.forward(model)
        return MaskedModel(forward, self.inputs, self.baselines, batch_size=batch_size, full_value=full_value)


def _regions(model: Linked, masker: Any, x: Any) -> _Parts:
    array = masker.row(x)
    return _image(model, array, masker, masker.labels_of(array), masker.mask_shapes(array)[0])


def _image(model: Linked, array: AnyArray, masker: Any, labels: AnyArray, mask_shape: tuple[int, ...]) -> _Parts:
    device = getattr(model.function, "tensor_device", None)
    inputs, baselines = (torch.from_numpy(np.array(a))[None].to(device) for a in (array, masker.baseline_of(array)))

    def forward(linked: Linked) -> Callable[..., Tensor]:
        return NumpyForward(linked, layout="as_is") if device is None else linked.on_tensor

    return _Parts(forward, inputs, baselines, labels[:, :, None], mask_shape)


def _columns(model: Linked, masker: Any, x: Any) -> _Parts:
    columns = ShapMaskedModel(model.function, masker, shap.links.identity, False, x)
    inputs = torch.ones(1, len(columns), dtype=torch.bool)

    def forward(linked: Linked) -> Callable[..., Tensor]:
        return NumpyForward(replace(linked, function=columns), layout="as_is")

    return _Parts(forward, inputs, torch.zeros_like(inputs), np.arange(len(columns)), tuple(columns.mask_shapes[0]))


def _chosen(outputs: Any, full_value: FloatArray, *, scalar: bool) -> tuple[int, ...] | None:
    """The indices that SHAP's ``outputs`` argument names, given f(x)."""
    if scalar:
        if outputs is not None:
            raise InputError("outputs chooses among several outputs and this model returns one score per row")
        return None
    if outputs is None:
        return tuple(range(len(full_value)))
    if isinstance(outputs, OpChain):
        outputs = outputs.apply(shap.Explanation(full_value)).values
    if not isinstance(outputs, int | np.integer | Sequence | np.ndarray) or isinstance(outputs, str):
        raise InputTypeError(f"outputs must be an int, a sequence of ints or an OpChain, got {outputs!r}")
    indices = tuple(int(i) for i in np.atleast_1d(np.asarray(outputs)))
    for i in indices:
        if not -len(full_value) <= i < len(full_value):
            raise InputError(f"outputs must index {len(full_value)} outputs, got {i}")
    return tuple(i % len(full_value) for i in indices)
