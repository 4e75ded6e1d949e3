"""Do methods disagree on a data set, beyond their own noise, by how much, why, and which should one choose?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xai_ext._checks import InputError
from xai_ext._types import FloatArray
from xai_ext.metrics import gini, reference_maps
from xai_ext.metrics._agreeing import TOP
from xai_ext.metrics._maps import MapReading
from xai_ext.metrics.agreement_matrix import DEFAULT
from xai_ext.metrics.concordance import concordance
from xai_ext.metrics.disagreement import Candidate, Question, candidates, compared
from xai_ext.study._records import Key, Records, Settings
from xai_ext.study._relations import related, settings_of
from xai_ext.study._report import DisagreementReport, report
from xai_ext.study._study_rows import records_from, rows_of

if TYPE_CHECKING:
    from pandas import DataFrame

REFERENCES = ("random", "rolled", "other_image")
_SSIM_SIDE = 7
_WHOLE = "pixels"


class DisagreementStudy:
    """Collects scalars image by image; holds the maps of one image only.

    Parameters
    ----------
    metrics : sequence of str
        Measures of `agreement`; the first one answers where one number must. "ssim" is left out for maps that are no
        images of at least seven pixels, and over regions.
    ks : sequence
        Counts or fractions, for measures of the k highest.
    primary : sequence of str
        Scores that decide which method to choose.
    alpha : float
        Level of the tests.
    channel_dim, channel_reduce, layout, output, map_kind
        How maps are read, as in `agreement`.
    n_permutations : int
        Of the tests of what changes the level of agreement.
    rng : numpy Generator, optional
        For references and permutations; None: ``default_rng(0)``.

    Examples
    --------
    >>> import numpy as np
    >>> study = DisagreementStudy(metrics=["spearman"])
    >>> for image, maps in enumerate(np.random.default_rng(0).normal(size=(5, 2, 6, 6))):
    ...     study.update(image, {Key("a"): maps[0], Key("b"): maps[1]})
    >>> bool(study.report().beyond_noise["real"].all())
    True
    """

    def __init__(
        self,
        metrics: Sequence[str] = (*DEFAULT, "ssim"),
        ks: Sequence[float] = (0.01, 0.05, 0.10, 0.25),
        primary: Sequence[str] = ("srg",),
        alpha: float = 0.05,
        *,
        channel_dim: int | None = 1,
        channel_reduce: str = "sum",
        layout: str = "channels_first",
        output: int | str | None = None,
        map_kind: str = "density",
        n_permutations: int = 9999,
        rng: np.random.Generator | None = None,
    ) -> None:
        if not metrics or not 0 < alpha < 1:
            raise InputError(f"a study needs metrics and an alpha between 0 and 1, got {list(metrics)} and {alpha}")
        self._questions = [Question(name, tuple(ks) if name in TOP else 0.1) for name in metrics]
        self._reading = MapReading(None, map_kind, channel_dim, channel_reduce, layout, output)
        self._rng = np.random.default_rng(0) if rng is None else rng
        columns = [column for q in self._questions for column in columns_of(q)]
        reading = {"channel_dim": channel_dim, "channel_reduce": channel_reduce, "map_kind": map_kind}
        self._settings = Settings(tuple(columns), tuple(ks), tuple(primary), alpha, n_permutations, reading)
        self._records = Records()
        self._before: dict[Key, Candidate] = {}

    def update(
        self,
        image_id: Any,
        maps: Mapping[Key, Any],
        *,
        target: Any = None,
        prediction: int | Mapping[str, int] | None = None,
        feature_mask: Any = None,
        mask: Any = None,
        scores: Mapping[Key, Mapping[str, float]] | None = None,
        covariates: Mapping[str, float] | None = None,
        other_image: Mapping[Key, Any] | None = None,
    ) -> None:
        """Add one image.

        Parameters
        ----------
        image_id
            Unique in its data set.
        maps : dict of Key -> map
            Of one example, without batch dimension: (H, W), (C, H, W) or (F,); a ``shap.Explanation`` or `Explanation`
            keeps its own shape. All of one data set.
        target : optional
            What was explained; recorded.
        prediction : int or dict of model -> int, optional
            The predicted class: maps of two models are compared where they predict the same.
        feature_mask : int array, optional
            Regions that all maps share; agreement is measured over them too.
        mask : bool array, optional
            The object, for its area.
        scores : dict of Key -> dict of name -> float, optional
            Faithfulness and localisation of each map; "n_evals" among them orders equals.
        covariates : dict of name -> float, optional
            Anything about the image that may explain disagreement, such as the probability of the class.
        other_image : dict of Key -> map, optional
            Maps of another image, whose agreement is a reference; None: of the image before.
        """
        if not maps:
            raise InputError("maps must name at least one map, got an empty mapping")
        datasets = {key.dataset for key in maps}
        if len(datasets) != 1:
            raise InputError(f"an image belongs to one data set, got maps of {sorted(datasets)}")
        record = self._records.start(image_id, next(iter(datasets)))
        read = {key: self._read(one, None) for key, one in maps.items()}
        record.skipped(key for key, c in read.items() if c is None)
        known = {key: c for key, c in read.items() if c is not None}
        if other_image is not None:
            others = {key: self._read(one, None) for key, one in other_image.items()}
            self._before = {key: c for key, c in others.items() if c is not None}
        self._compare(record, known, _WHOLE)
        self._refer(record, known)
        if feature_mask is not None:
            regions = {key: self._read(one, feature_mask) for key, one in maps.items() if key in known}
            self._compare(record, {key: c for key, c in regions.items() if c is not None}, "regions")
        record.about(_covariates(known, feature_mask, mask) | dict(covariates or {}))
        record.predicted(prediction, target)
        record.scored(scores or {})
        self._before = known

    def report(self) -> "DisagreementReport":
        """The answers, from everything that was added."""
        return report(self._records, self._settings, self._rng.spawn(1)[0])

    def rows(self) -> "DataFrame":
        """What was collected, one value a row: rows of several studies may be joined and read by `from_rows`."""
        return rows_of(self._records, self._settings.columns)

    @classmethod
    def from_rows(cls, rows: "DataFrame", **settings: Any) -> "DisagreementStudy":
        """A study that has seen what `rows` tell, in the order of data sets and images; settings as in the class."""
        study = cls(**settings)
        study._records = records_from(rows)
        return study

    def _read(self, given: Any, feature_mask: Any) -> Candidate | None:
        reading = replace(self._reading, feature_mask=feature_mask)
        return candidates(_batched(given), reading)[0]

    def _compare(self, record: Any, maps: Mapping[Key, Candidate], view: str) -> None:
        for relation, a, b in related(list(maps)):
            n = len(maps[a].given.values)
            record.pair(view, relation, a, b, self._agreement(maps[a], maps[b], view), n)
        for group in settings_of(maps):
            ranked = [maps[key].ranked(Question(ranking="abs")) for key in group]
            varied = [r for r in ranked if not r.is_constant]
            if len(varied) > 1:
                record.concordance(view, group[0], concordance(varied))

    def _refer(self, record: Any, maps: Mapping[Key, Candidate]) -> None:
        """Agreement of each first-seed map with maps that know nothing."""
        for key in (k for k in maps if k.seed == min(o.seed for o in maps if replace(o, seed=k.seed) == k)):
            own = maps[key]
            for kind in REFERENCES:
                other = self._before.get(key) if kind == "other_image" else self._reference(own, kind)
                if other is not None and other.given.shapes == own.given.shapes:
                    n = len(own.given.values)
                    record.pair(_WHOLE, kind, key, key, self._agreement(own, other, _WHOLE), n)

    def _reference(self, own: Candidate, kind: str) -> Candidate:
        shapes = own.given.shapes
        values = own.given.values.reshape(shapes[0]) if len(shapes) == 1 else own.given.values
        drawn = reference_maps(torch.from_numpy(values)[None], kind, self._rng)[0].numpy()
        return Candidate(replace(own.given, values=drawn.ravel()))

    def _agreement(self, a: Candidate, b: Candidate, view: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for question in self._questions:
            fits = question.measure != "ssim" or (view == _WHOLE and _has_windows(a) and _has_windows(b))
            values = compared(a, b, question)[0] if fits else [np.nan]
            found |= zip(columns_of(question), values, strict=True)
        return found


def disagreement_report(
    explanations: Iterable[Mapping[Key | str, Any]],
    *,
    image_ids: Sequence[Any] | None = None,
    scores: Sequence[Mapping[Key | str, Mapping[str, float]]] | None = None,
    feature_masks: Sequence[Any] | None = None,
    masks: Sequence[Any] | None = None,
    predictions: Sequence[Any] | None = None,
    **settings: Any,
) -> "DisagreementReport":
    """Report on the explanations of a data set: see `DisagreementStudy`, which takes them one image at a time.

    Parameters
    ----------
    explanations : iterable of dict
        For each image its maps by `Key`, or by the name of the method.
    image_ids, scores, feature_masks, masks, predictions : sequence, optional
        For each image what `DisagreementStudy.update` takes.
    **settings
        Those of `DisagreementStudy`.

    Returns
    -------
    DisagreementReport
    """
    study = DisagreementStudy(**settings)
    columns = {"scores": scores, "feature_mask": feature_masks, "mask": masks, "prediction": predictions}
    for i, maps in enumerate(explanations):
        one: dict[str, Any] = {name: column[i] for name, column in columns.items() if column is not None}
        if "scores" in one:
            one["scores"] = {_key(k): v for k, v in one["scores"].items()}
        study.update(i if image_ids is None else image_ids[i], {_key(k): m for k, m in maps.items()}, **one)
    return study.report()


def columns_of(question: Question) -> list[str]:
    """The names of a measure's values."""
    if question.measure not in TOP:
        return [question.measure]
    return [f"{question.measure}@{k}" for k in question.ks]


def _key(key: Key | str) -> Key:
    return key if isinstance(key, Key) else Key(key)


def _batched(given: Any) -> Any:
    if isinstance(given, torch.Tensor | np.ndarray):
        return given[None]
    return given


def _has_windows(candidate: Candidate) -> bool:
    return candidate.given.is_image and min(candidate.given.shapes[0]) >= _SSIM_SIDE


def _covariates(maps: Mapping[Key, Candidate], feature_mask: Any, mask: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    values: list[FloatArray] = [c.given.values for c in maps.values()]
    ginis = [float(gini(v[None])) for v in values]  # type: ignore[arg-type]
    if np.isfinite(ginis).any():
        found["gini"] = float(np.nanmean(ginis))
    if feature_mask is not None:
        found["n_regions"] = float(len(np.unique(np.asarray(feature_mask))))
    if mask is not None:
        found["object_area"] = float(np.asarray(mask, dtype=bool).mean())
    return found


__all__ = ["DisagreementReport", "DisagreementStudy", "Key", "disagreement_report"]
