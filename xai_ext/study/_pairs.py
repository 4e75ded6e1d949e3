"""Agreement of all maps of one image."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_ext._types import FloatArray
from xai_ext.metrics import resize_map
from xai_ext.study._records import Key
from xai_ext.study.disagreement import DisagreementStudy

if TYPE_CHECKING:
    from xai_ext.study._worker import PairsTask

KS = (0.05, 0.25)


def pair_rows(task: "PairsTask", measures: tuple[str, ...], seed: int) -> dict[str, list[Any]]:
    """Columns of `DisagreementStudy.rows`.

    Maps of models that see images of other sizes are resized, bilinearly, to the smallest of them.
    """
    if not task.maps:
        return {}
    shape = min(values.shape for values in task.maps.values())
    words = [seed, int.from_bytes(hashlib.sha256(task.item.sha256.encode()).digest()[:8], "big")]
    study = DisagreementStudy(measures, KS, rng=np.random.default_rng(words), map_kind="region")
    study.update(
        task.item.image_id,
        _resized(task.maps, shape),
        target=next(iter(task.about.values()))["class_id"],
        prediction={m: a["prediction"] for m, a in task.about.items() if a["prediction"] is not None},
        feature_mask=next(one for one in task.labels.values() if one.shape == shape).astype(np.int64),
        covariates=_covariates(task.about),
        other_image=_resized(task.others, shape),
    )
    table = study.rows()
    plain = table.astype(object).where(table.notna(), None)
    return {str(name): plain[name].tolist() for name in plain}


def _resized(maps: Mapping[Key, FloatArray], shape: tuple[int, ...]) -> dict[Key, FloatArray]:
    return {
        key: values if values.shape == shape else np.asarray(resize_map(values[None], shape)[0])
        for key, values in maps.items()
    }


def _covariates(about: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Means over models."""
    names = ("probability", "entropy", "object_area")
    known = {n: [a[n] for a in about.values() if a.get(n) is not None] for n in names}
    return {n: float(np.mean(values)) for n, values in known.items() if values}
