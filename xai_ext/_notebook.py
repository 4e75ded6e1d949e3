"""How an explanation shows itself in a notebook."""

from typing import TYPE_CHECKING

import numpy as np

from xai_ext._html import page, png, png_uri
from xai_ext._plot_maps import blended
from xai_ext._types import FloatArray

if TYPE_CHECKING:
    from xai_ext.explanation import Explanation


def as_html(explanation: "Explanation") -> str:
    """The map of the output with the highest score, and the numbers around it."""
    picture, output = _picture(explanation), _output(explanation)
    caption = f"{explanation.estimand} values" + ("" if output is None else f" of output {output}")
    alt = f"Map of {caption}: red raises the score, blue lowers it; without negative values yellow is the strongest."
    source = None if picture is None else png_uri(picture)
    return page("explanation.html", source=source, alt=alt, caption=caption, facts=_facts(explanation))


def as_png(explanation: "Explanation") -> bytes | None:
    """The map alone; None where players have no place in an image."""
    picture = _picture(explanation)
    return None if picture is None else png(picture)


def _picture(explanation: "Explanation") -> FloatArray | None:
    if explanation.labels[0].ndim != 2 or not explanation.labels[0].size:
        return None
    output, values = _output(explanation), explanation.density_map()
    return blended(np.ones(values.shape[:2]), values if output is None else values[..., output])


def _output(explanation: "Explanation") -> int | None:
    """None for a model with one score."""
    return None if explanation.values.ndim == 1 else int(np.argmax(explanation.full_value))


def _facts(explanation: "Explanation") -> list[tuple[str, str]]:
    e, output = explanation, _output(explanation)
    values, errors, full, base = (
        np.asarray(a if output is None else np.asarray(a)[..., output])
        for a in (e.values, e.std_error, e.full_value, e.base_value)
    )
    return [
        ("players", f"{len(values):,}"), ("evaluations", f"{e.n_evals:,}"), ("f(x)", f"{float(full):.4g}"),
        ("f(baseline)", f"{float(base):.4g}"), ("sum of values", f"{values.sum():.4g}"),
        ("largest value", f"{values.max(initial=-np.inf):.4g}"),
        ("largest standard error", f"{errors.max(initial=0):.2g}"),
    ]  # fmt: skip
