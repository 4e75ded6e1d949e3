"""What a report says of maps and metrics."""

import math

import numpy as np

from xai_ext._types import FloatArray

# head of the column, is more better, how to read it
METRICS: dict[str, tuple[str, bool | None, str]] = {
    "srg": ("SRG", True, "Insertion minus deletion. Positive: what the map ranks first matters more to the model than "
            "what it ranks last. In the unit of the score; a map of random regions scores near 0."),
    "deletion": ("deletion", False, "Area under the score while the pixels that the map ranks highest become the "
                 "baseline. Lower is better: the score falls early. Half-empty images are unlike what the model "
                 "learned from."),
    "insertion": ("insertion", True, "Area under the score while those pixels are put into the baseline. Higher is "
                  "better: the score rises early. It often disagrees with deletion: read both."),
    "iou": ("IoU", True, "Overlap of the object with as many of the map's highest pixels. 1 is the outline itself. It "
            "asks where a person sees the object, not what the model uses."),
    "f_score": ("F1", True, "The same overlap as the harmonic mean of precision and recall, at the object's area. "
                "Higher is better. Never below IoU."),
    "iou_range": ("IoU .3", True, "Overlap of the object with pixels above 30 % of the map's range. Higher is better. "
                  "One extreme pixel can decide it."),
    "f_score_range": ("F1 .3", True, "Precision and recall of pixels above 30 % of the map's range. Higher is better. "
                      "One extreme pixel can decide it."),
    "max_iou": ("best IoU (oracle)", True, "The overlap at the threshold that suits the object best. It knows the "
                "answer, so it is an upper bound and no score. Compare it with IoU."),
    "pointing_game": ("pointing", True, "Does the highest pixel lie on the object? 1 or 0; ties count by their share. "
                      "Chance is the object's share of the image."),
    "energy_pointing_game": ("energy", True, "The share of positive values on the object. Higher is better. Chance is "
                             "the object's share of the image."),
    "mass_accuracy": ("mass", True, "The share of positive values on the object. Higher is better. Chance is the "
                      "object's share of the image."),
    "roc_auc": ("AUC", True, "How often a pixel of the object ranks above one outside it. 0.5 is chance. Higher is "
                "better."),
    "gini": ("Gini", None, "How few pixels hold the map: 0 all alike, near 1 a few pixels. Neither is better. Maps "
             "of regions are coarse by their making."),
}  # fmt: skip

_ROWS, _COLUMNS = ("upper", "middle", "lower"), ("left", "centre", "right")


def head_of(metric: str) -> str:
    """The name of a metric's column, with an arrow to the better side."""
    base, _, suffix = metric.partition("@")
    name, better, _ = METRICS.get(base, (base.replace("_", " "), None, ""))
    arrow = {True: " ↑", False: " ↓", None: ""}[better]
    return f"{name}{f' of {suffix}' if suffix else ''}{arrow}"


def where(values: FloatArray) -> str:
    """The ninth of the image in which the centre of the positive mass lies."""
    mass = np.clip(np.nan_to_num(values), 0, None)
    if mass.sum() == 0:
        return ""
    third = []
    for axis, names in enumerate((_ROWS, _COLUMNS)):
        positions = (np.arange(values.shape[axis]) + 0.5) / values.shape[axis]
        centre = float(mass.sum(1 - axis) @ positions / mass.sum())
        third.append(names[min(2, int(3 * centre))])
    return "the centre" if third == ["middle", "centre"] else f"the {third[0]} {third[1]}"


def positive_share(values: FloatArray) -> float:
    """Of the map's absolute mass."""
    known = np.nan_to_num(values)
    total = float(np.abs(known).sum())
    return float(np.clip(known, 0, None).sum()) / total if total else math.nan


def map_text(name: str, target: str, values: FloatArray, deletion: float | None, insertion: float | None) -> str:
    """A map for somebody who cannot see it."""
    place = where(values)
    if not np.nan_to_num(values).any():
        said = "it is zero everywhere"
    elif not place:
        said = "it has no positive values"
    else:
        said = f"the positive values centre in {place} of the image and are {positive_share(values):.0%} of its mass"
    scores = [f"{k} {v:.2f}" for k, v in (("deletion", deletion), ("insertion", insertion)) if v is not None]
    return f"Map of {name} for {target}: {said}{'; ' + ', '.join(scores) if scores else ''}."
