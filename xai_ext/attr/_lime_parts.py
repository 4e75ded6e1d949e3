"""What Captum's users may give to LIME: interpretable models and similarity functions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from xai_ext._arguments import Inputs
from xai_ext._captum_compat import get_exp_kernel_similarity_function
from xai_ext._checks import InputTypeError
from xai_ext._types import BoolArray, FloatArray
from xai_ext.attr._call import Example
from xai_ext.methods._rows import Fit, Rows, Surrogate
from xai_ext.methods._surrogates import ScikitLearn
from xai_ext.methods.lime import Lasso, Linear, Ridge, Select


def captums_default_similarity(original: Inputs, perturbed: Inputs, interpretable: Any, **kwargs: Any) -> float:
    """Captum's default, as a function that can be pickled; only its own ``Lime.attribute`` calls it."""
    return float(get_exp_kernel_similarity_function()(original, perturbed, interpretable, **kwargs))


def as_surrogate(model: Any, num_features: int | None) -> Surrogate | None:
    """Captum's models and scikit-learn's wrapped; None stands for the default of the weighting."""
    surrogate = _as_surrogate(model)
    return surrogate if num_features is None else Select(num_features, final=surrogate or Ridge())


def _as_surrogate(model: Any) -> Surrogate | None:
    if model is None:
        return None
    if isinstance(model, Ridge | Linear | Lasso | Select):
        return model
    if hasattr(model, "fit") and hasattr(model, "representation"):
        return _CaptumSurrogate(model)
    if hasattr(model, "get_params"):
        return ScikitLearn(model)
    raise InputTypeError(
        "interpretable_model must be a Captum Model (fit, representation), a surrogate of this package (Ridge, "
        f"Linear, Lasso, Select) or a regressor of scikit-learn, got {type(model).__name__}"
    )


@dataclass(frozen=True, eq=False)
class _CaptumSurrogate:
    """A Captum ``Model``, fitted in place as Captum does."""

    model: Any

    def fit(self, rows: Rows) -> Fit:
        x, w = (torch.from_numpy(a.astype(np.float32)) for a in (rows.coalitions, rows.weights))
        columns = []
        for scores in rows.scores.T:
            data = TensorDataset(x, torch.from_numpy(scores.astype(np.float32)), w)
            self.model.fit(DataLoader(data, batch_size=len(x)))
            columns.append(self.model.representation().detach().cpu().double().numpy().reshape(-1))
        coefficients = np.stack(columns, axis=1)
        residuals = rows.scores - rows.coalitions @ coefficients
        return Fit(coefficients, rows.weights @ residuals / rows.weights.sum())


@dataclass(frozen=True, eq=False)
class Similarity:
    """A similarity function of Captum, called row by row as Captum calls it."""

    function: Callable[..., Any]
    example: Example

    def __call__(self, coalitions: BoolArray) -> FloatArray:
        e = self.example
        width = int(e.ids.max() - e.ids.min()) + 1
        kwargs = {"baselines": e.baselines, "feature_mask": e.feature_mask, "num_interp_features": width}
        values = []
        for coalition in coalitions:
            images = e.game.images(coalition[None])
            interpretable = torch.zeros(1, width, dtype=torch.long, device=images[0].device)
            interpretable[0, torch.from_numpy(e.ids - e.ids.min())] = torch.from_numpy(coalition).to(interpretable)
            perturbed = images if isinstance(e.inputs, tuple) else images[0]
            values.append(float(self.function(e.inputs, perturbed, interpretable, **kwargs)))
        return np.array(values)
