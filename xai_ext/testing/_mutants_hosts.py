"""Broken members of the hosts: Captum, SHAP, lime."""

from typing import Any, ClassVar

import torch

from xai_ext import attr, explainers
from xai_ext.lime_image import StratifiedLimeImageExplainer
from xai_ext.testing._mutant_kit import after, caught_by, changing, named
from xai_ext.testing._twins import CALLED, Twin


def _without(*names: str) -> Any:
    def attribute(self: Any, *args: Any, **kwargs: Any) -> Any:
        return Twin.attribute(self, *args, **{k: v for k, v in kwargs.items() if k not in names})

    return attribute


changing("has parameters of its own", "C1", attribute=_without())
changing("has no plain attribute underneath", "C13", attribute=Twin.attribute.__wrapped__.__wrapped__)


@caught_by("C2")
class DrawPerExample(Twin):
    """A draw of its own for each example."""

    def run(self, data: Any, n_samples: int, rows: Any, show: bool, seed: Any, tol: Any) -> Any:
        call, examples, found = super().run(data, n_samples, rows, show, seed, tol)
        if seed is None and len(found) > 1:
            found[1:] = super().run(data, n_samples, rows, show, None, tol)[2][1:]
        return call, examples, found


@caught_by("C3")
class IndexErrors(Twin):
    """A target that does not fit is an IndexError."""

    def attribute(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().attribute(*args, **kwargs)
        except ValueError as error:
            raise IndexError(str(error)) from error


@caught_by("C5", "linear_closed_form")
class Splits(attr.BPTOwen):
    """The value of a player is split among its elements, though there is a mask."""

    __attribution_tags__: ClassVar[dict[str, Any]] = {
        **CALLED, "estimand": "owen", "draws": False, "complete": "always", "additive_exact": True,
    }  # fmt: skip

    def attribute(self, *args: Any, **kwargs: Any) -> Any:
        return super().attribute(*args, **kwargs) / 2


def _mask(change: Any) -> Any:
    def attribute(self: Any, *args: Any, feature_mask: Any = None, **kwargs: Any) -> Any:
        mask = None if feature_mask is None else change(feature_mask)
        return Twin.attribute(self, *args, feature_mask=mask, **kwargs)

    return attribute


changing("player 0 is background", "C6", attribute=_mask(lambda m: m.clamp(min=0) if m.dtype == torch.int64 else m))


@caught_by("C7")
class TensorBaselines(Twin):
    """Numbers as baselines are read as 0."""

    def attribute(self, inputs: Any, baselines: Any = None, *args: Any, **kwargs: Any) -> Any:
        return super().attribute(inputs, baselines if isinstance(baselines, torch.Tensor) else None, *args, **kwargs)


@caught_by("C8")
class RowsOnly(Twin):
    """One answer per batch is refused."""

    def run(self, *args: Any) -> Any:
        found = super().run(*args)
        if found[0].aggregate:
            raise ValueError("one answer per batch")
        return found


@caught_by("C9")
class CopiesTables(Twin):
    """Extra tensors arrive as copies."""

    def attribute(self, *args: Any, additional_forward_args: Any = None, **kwargs: Any) -> Any:
        if isinstance(additional_forward_args, tuple):
            additional_forward_args = tuple(a.clone() for a in additional_forward_args)
        return super().attribute(*args, additional_forward_args=additional_forward_args, **kwargs)


changing("attribute is not explain", "C10", attribute=after(lambda a: 2 * a))


@caught_by("C11")
class SilentProgress(Twin):
    """Has no progress bar."""

    def run(self, data: Any, n_samples: int, rows: Any, show: bool, seed: Any, tol: Any) -> Any:
        return super().run(data, n_samples, rows, False, seed, tol)


named("is no Lime", Twin, "C17", estimand="surrogate", kernel=None)


@caught_by("C18")
class TracedTwice(Twin):
    """Doubles the values of traced models."""

    def attribute(self, *args: Any, **kwargs: Any) -> Any:
        found = super().attribute(*args, **kwargs)
        return 2 * found if isinstance(self.forward_func, torch.jit.ScriptModule) else found


@caught_by(
    "hosts_agree", **CALLED, estimand="surrogate", counterpart="xai_ext.explainers:StratifiedLime", std_error=False
)
class OtherNumbers(attr.StratifiedLime):
    """Not what the SHAP class gives."""

    def attribute(self, *args: Any, **kwargs: Any) -> Any:
        return 1.001 * super().attribute(*args, **kwargs)


@caught_by("S1", estimand="surrogate")
class WrongNames(explainers.StratifiedLime):
    """Names the first outputs, whichever were chosen."""

    def explain_row(self, *args: Any, **kwargs: Any) -> Any:
        found = super().explain_row(*args, **kwargs)
        if found["output_indices"] is not None:
            found["output_indices"] = list(range(len(found["output_indices"])))
        return found


@caught_by("L1", estimand="surrogate")
class ThreeChannels(StratifiedLimeImageExplainer):
    """Images of three channels only."""

    def explain_instance(self, image: Any, *args: Any, **kwargs: Any) -> Any:
        if image.shape[-1] != 3:
            raise ValueError("three channels")
        return super().explain_instance(image, *args, **kwargs)
