"""Explanations of SHAP, recognised by their attributes: this package's metrics never import SHAP."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from xai_ext._arguments import as_tensor
from xai_ext._checks import InputError, InputTypeError
from xai_ext._types import AnyArray


def is_shap(attributions: Any) -> bool:
    return all(hasattr(attributions, name) for name in ("values", "base_values", "data"))


def shap_values(explanation: Any, output: int | str | None) -> AnyArray:
    """The values of one output, shaped like the explanation's data."""
    values = _numbers("values", explanation.values)
    if explanation.data is None:
        n_dims = values.ndim - (np.ndim(explanation.base_values) > 1)
    else:
        n_dims = np.ndim(explanation.data)
    if values.ndim <= n_dims:
        return values
    names = getattr(explanation, "output_names", None)
    return np.asarray(values[..., output_index(output, values.shape[-1], names)])


def output_index(output: int | str | None, n_outputs: int, names: Any = None) -> int:
    """Which of several outputs is meant, by number or by name."""
    if output is None:
        if n_outputs == 1:
            return 0
        raise InputError(f"the explanation has {n_outputs} outputs; fix: output=<one of 0..{n_outputs - 1}>")
    if isinstance(output, str):
        known = [] if names is None else [str(name) for name in names][:n_outputs]
        if output not in known:
            raise InputError(f"output must be one of the explanation's output names {known}, got {output!r}")
        return known.index(output)
    if not -n_outputs <= output < n_outputs:
        raise InputError(f"output must name one of {n_outputs} outputs, got {output}")
    return output


def shap_inputs(attributions: Any) -> Tensor:
    """The data of the first explanation that carries some, channels first."""
    candidates = attributions.values() if isinstance(attributions, Mapping) else (attributions,)
    for candidate in candidates:
        if is_shap(candidate) and candidate.data is not None:
            return _channels_first(_numbers("data", candidate.data))
    raise InputError("inputs must be given unless attributions are a shap.Explanation that carries its data")


def from_shap(explanation: Any, output: int | str | None = None) -> tuple[Tensor, Tensor]:
    """Inputs and attributions of a ``shap.Explanation``, as Captum's users hold them.

    Parameters
    ----------
    explanation : shap.Explanation
        Of a batch: values and data (B, *spatial, C), or (B, F) for a table; values may have a last axis of outputs.
    output : int or str, optional
        Which output, by number or by name; needed when there is more than one.

    Returns
    -------
    inputs : Tensor (B, C, *spatial) or (B, F)
        In the dtype of the data. Arrays with fewer than four dimensions have no channels and stay as they are.
    attributions : float64 Tensor of the same shape

    Raises
    ------
    InputError
        The explanation carries no data, or several outputs and `output` does not name one of them.

    Examples
    --------
    ``inputs, attributions = from_shap(explanation, output=0)``, then
    ``deletion_insertion(numpy_forward(f), inputs, attributions, target=285)``.
    """
    if not is_shap(explanation):
        raise InputTypeError(f"explanation must be a shap.Explanation, got {type(explanation).__name__}")
    values = shap_values(explanation, output).astype(np.float64)
    return shap_inputs(explanation), _channels_first(values)


def _channels_first(array: AnyArray) -> Tensor:
    return as_tensor(np.moveaxis(array, -1, 1) if array.ndim >= 4 else array)


def _numbers(name: str, array: Any) -> AnyArray:
    values = np.asarray(array)
    if values.dtype.kind not in "biuf":
        raise InputTypeError(f"the explanation's {name} must be one array of numbers, got dtype {values.dtype}")
    return values
