"""The contracts of SHAP (S1) and lime (L1)."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from xai_ext._superpixels import TwoDimensional
from xai_ext.models import as_numpy_function
from xai_ext.testing import _fixtures as fixtures
from xai_ext.testing._case import Case, check
from xai_ext.testing._image_subjects import channels_last
from xai_ext.testing.tags import Tags


class _First(nn.Module):
    """The first output alone, (k,)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first: torch.Tensor = self.model(x)[:, 0]
        return first


def _image_explainer(tags: Tags) -> bool:
    return tags.host == "shap" and not tags.columns


@check("host", _image_explainer, "is no SHAP explainer of images")
def check_S1(case: Case) -> None:
    """One or two rows, all outputs, some, one, a scalar model: SHAP's shapes, real names, plots that draw."""
    import shap

    problem, names = case.problem(n=2), ["ant", "bee", "cow", "dog", "elk"]
    outputs: list[tuple[Any, tuple[int, ...]]] = [
        (None, (5,)),
        ([3, 1], (2,)),
        (shap.Explanation.argsort.flip[:1], (1,)),
    ]
    if case.tags.estimand in ("importance", "occlusion"):
        outputs = outputs[1:] if case.tags.estimand == "importance" else outputs[2:]
    for n in (1, 2):
        rows = channels_last(problem.x[:n])
        for chosen, shape in outputs:
            result = _explained(case, problem.model, rows, outputs=chosen, output_names=None)
            case.require(result.values.shape == (n, 8, 8, 1, *shape), f"outputs={chosen}: values {result.values.shape}")
            case.require(np.asarray(result.base_values).shape == (n, *shape), "base values do not fit the values")
        result = _explained(case, _First(problem.model), rows, outputs=None, output_names=None)
        case.require(result.values.shape == (n, 8, 8, 1), f"a scalar model: values {result.values.shape}")
    _named(case, problem.model, channels_last(problem.x[:1]), names)


def _explained(case: Case, model: nn.Module, rows: Any, *, outputs: Any, output_names: Any) -> Any:
    masker = case.subject.masker(replace(case.problem(), x=torch.from_numpy(rows).movedim(-1, 1)))  # type: ignore[attr-defined]
    explainer = case.subject.built(as_numpy_function(model), masker, output_names=output_names, seed=0)
    return explainer(rows, max_evals=64, outputs=outputs, silent=True)


def _named(case: Case, model: nn.Module, rows: Any, names: list[str]) -> None:
    import matplotlib.pyplot as plt
    import shap

    if case.tags.estimand == "occlusion":
        return
    result = _explained(case, model, rows, outputs=[3, 1], output_names=names)
    before = plt.get_fignums()
    shap.image_plot(result, show=False)
    new = [number for number in plt.get_fignums() if number not in before]
    titles = " ".join(axes.get_title() for number in new for axes in plt.figure(number).axes)
    for number in new:
        plt.close(number)
    case.require("dog" in titles and "bee" in titles and "ant" not in titles, f"titles of outputs [3, 1]: {titles!r}")
    if case.tags.complete == "always":
        with torch.no_grad():
            scores = model(torch.from_numpy(rows).movedim(-1, 1))[0, [3, 1]].double().numpy()
        case.close(result.values.sum((1, 2, 3))[0] + np.ravel(result.base_values), scores, 1e-5, "sum plus base value")


@check("host", lambda t: t.host == "lime", "is no lime explainer")
def check_L1(case: Case) -> None:
    """One, three, four or five channels, 1-D and 2-D outputs, segments with gaps: one coefficient per segment."""
    for channels in (1, 3, 4, 5):
        for scalar in (False, True):
            for labels in (fixtures.grid_labels() + 1, 3 * fixtures.grid_labels()):
                _one_image(case, channels, labels, scalar=scalar)


def _one_image(case: Case, channels: int, labels: Any, *, scalar: bool) -> None:
    model = fixtures.net(channels)
    function = as_numpy_function(_First(model) if scalar else model)
    image = channels_last(fixtures.images(1, channels))[0]
    result = case.subject.built(random_state=0).explain_instance(
        image, function if case.subject.cls.__module__.startswith("xai_ext") else TwoDimensional(function),
        labels=(0,), top_labels=None, num_samples=40, segmentation_fn=lambda _: labels,
    )  # fmt: skip
    ids = sorted(segment for segment, _ in result.local_exp[0])
    case.require(ids == list(range(16)), f"{channels} channels: segments {ids}")
