"""Agreement of all maps of one image."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_ext._types import FloatArray
from xai_ext.study._records import Key
from xai_ext.study.disagreement import DisagreementStudy

if TYPE_CHECKING:
    import pandas as pd

    from xai_ext.study._worker import PairsTask

KS = (0.05, 0.25)


def pair_rows(task: "PairsTask", measures: tuple[str, ...], seed: int) -> dict[str, list[Any]]:
    """Columns of `DisagreementStudy.rows`; maps of models that see images of other sizes are not compared."""
    import pandas as pd

    tables: list[pd.DataFrame] = []
    for shape in sorted({m.shape for m in task.maps.values()}):
        maps = {key: m for key, m in task.maps.items() if m.shape == shape}
        tables.append(_rows(task, maps, measures, seed))
        tables[-1]["entry"] += sum(len(t) for t in tables[:-1])  # entries of all are different
    joined = pd.concat(tables) if tables else pd.DataFrame()
    plain = joined.astype(object).where(joined.notna(), None)
    return {str(name): plain[name].tolist() for name in plain}


def _rows(task: "PairsTask", maps: Mapping[Key, FloatArray], measures: tuple[str, ...], seed: int) -> "pd.DataFrame":
    words = [seed, int.from_bytes(hashlib.sha256(task.item.sha256.encode()).digest()[:8], "big")]
    study = DisagreementStudy(measures, KS, rng=np.random.default_rng(words), map_kind="region")
    models = sorted({key.model for key in maps})
    labels = [task.labels[m] for m in models]
    about = {m: task.about[m] for m in models}
    study.update(
        task.item.image_id,
        maps,
        target=about[models[0]]["class_id"],
        prediction={m: a["prediction"] for m, a in about.items() if a["prediction"] is not None},
        feature_mask=labels[0].astype(np.int64) if all(np.array_equal(labels[0], one) for one in labels) else None,
        covariates=_covariates(about),
        other_image=task.others,
    )
    return study.rows()


def _covariates(about: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Means over models."""
    names = ("probability", "entropy", "object_area")
    known = {n: [a[n] for a in about.values() if a.get(n) is not None] for n in names}
    return {n: float(np.mean(values)) for n, values in known.items() if values}
