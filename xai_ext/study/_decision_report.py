"""Does evidence make decisions better, and are they made for the right reason?"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_choice
from xai_ext._forward import on_host
from xai_ext._types import AnyArray
from xai_ext.anomaly import AnomalyScore, NoMapError, evidence, right_reason
from xai_ext.metrics import resize_map
from xai_ext.metrics.detection import Auroc, F1Max, aupro, auroc, f1_max, pixel_auroc
from xai_ext.study._decision_stats import (
    ORACLE_RULES,
    RULES,
    Rule,
    equal_recall,
    flag_rates,
    predictors,
    reasons,
    wilson,
)

if TYPE_CHECKING:
    import pandas as pd

_UNFIT = 0.8
_GOOD, _DEFECT = "good", "defect"


@dataclass(frozen=True, eq=False)
class DecisionReport:
    """What `decision_report` found.

    Attributes
    ----------
    threshold, alpha : float
    n_calibration : int or None
    rates : DataFrame
        Flag rate of each rule on each group, Wilson intervals, rows per image.
    comparison : DataFrame
        Each rule against the score alone at the same recall on defects.
    reasons : DataFrame
        Of the detected defects, the shares right, partly, wrong, undecided.
    predictors : DataFrame
        AUROC with which each column of evidence tells "wrong".
    detection : dict
        AUROC with interval, F1max (an oracle), pixel AUROC, AUPRO, realised false-alarm rate with interval.
    sentences : tuple of str
        What follows, by rule.
    """

    threshold: float
    alpha: float
    n_calibration: int | None
    rates: "pd.DataFrame"
    comparison: "pd.DataFrame"
    reasons: "pd.DataFrame"
    predictors: "pd.DataFrame"
    detection: dict[str, float]
    sentences: tuple[str, ...]

    def to_json(self) -> str:
        """Everything; NaN is null."""
        tables = {name: json.loads(getattr(self, name).to_json(orient="records"))
                  for name in ("rates", "comparison", "reasons", "predictors")}  # fmt: skip
        numbers = {k: None if np.isnan(v) else v for k, v in self.detection.items()}
        plain = {"threshold": self.threshold, "alpha": self.alpha, "n_calibration": self.n_calibration}
        return json.dumps({**plain, **tables, "detection": numbers, "sentences": list(self.sentences)}, indent=1)

    def summary(self) -> str:
        """The sentences, and the tables as text."""
        parts = [*self.sentences, "", " ".join(f"{k} {v:.3g}" for k, v in self.detection.items())]
        for name in ("rates", "comparison", "reasons", "predictors"):
            table = getattr(self, name)
            if len(table):
                parts += ["", f"{name}:", table.to_string(index=False, float_format="{:.3f}".format)]
        return "\n".join(parts)


def decision_report(
    score: AnomalyScore,
    groups: Mapping[str, Tensor],
    *,
    masks: Tensor | AnyArray | Mapping[str, Any] | None = None,
    roi: Tensor | AnyArray | None = None,
    alpha: float = 0.05,
    rules: Mapping[str, Rule] | None = None,
) -> DecisionReport:
    """Judge a calibrated detector on groups of images.

    Parameters
    ----------
    score : AnomalyScore
        Calibrated.
    groups : mapping
        Name -> images (N, C, H, W). "good" are normals; groups with masks, or "defect", are defects; all others are
        changes that should not be flagged.
    masks : array (N, H, W), or mapping of group to array, optional
        Of the defects; one array belongs to the group "defect".
    roi : bool array (H, W), optional
        Where defects matter: adds the rule "score+roi".
    alpha : float
        The false-alarm rate that was promised.
    rules : mapping, optional
        Further rules: name -> function of (table of `evidence`, threshold) -> bool (N,).

    Notes
    -----
    Rules: "score"; "score+local", where repairing 5 % of the image is enough to silence it; "score+contrast", where the
    score stands out of the image's own map more than in a tenth of the normals, which light and noise, that raise the
    whole map, do not; "score+roi". A rule that flags less is compared with the score alone at a threshold of the same
    recall, else strictness would look like merit. The rule "right_reason" knows the masks: an oracle, never compared.
    """
    by_group = _masks_of(groups, masks)
    tables = {name: _table(score, x, by_group.get(name), roi) for name, x in groups.items()}
    detection = _detection(score, groups, by_group)
    report = report_of(tables, score._needed_threshold(), alpha=alpha, rules=_chosen(rules, roi, by_group),
                       defects=tuple(by_group) or tuple(g for g in groups if g == _DEFECT), detection=detection,
                       n_calibration=score.info.calibration.n if score.info.calibration else None)  # fmt: skip
    if report.detection.get("false_alarms_low", -1) > alpha or report.detection.get("false_alarms_high", 2) < alpha:
        warnings.warn(
            f"the realised false-alarm rate {report.detection['false_alarms']:.3f} is not the promised {alpha}: the "
            "normals of calibration and of the group 'good' are not exchangeable",
            stacklevel=2,
        )
    return report


def report_of(
    tables: "Mapping[str, pd.DataFrame]",
    threshold: float,
    *,
    defects: tuple[str, ...],
    rules: Mapping[str, Rule] = RULES,
    alpha: float = 0.05,
    detection: Mapping[str, float] | None = None,
    n_calibration: int | None = None,
) -> DecisionReport:
    """The report of tables that are there already: columns of `evidence`, and ``verdict`` where masks were."""
    numbers = dict(detection or {})
    if _GOOD in tables:
        good = tables[_GOOD]["s"].to_numpy()
        alarms, n = int((good > threshold).sum()), len(good)
        low, high = wilson(alarms, n)
        numbers |= {"false_alarms": alarms / max(1, n), "false_alarms_low": low, "false_alarms_high": high}
        numbers |= _image_level(tables, defects)
    comparison = equal_recall(tables, defects, threshold, rules)
    why = reasons(tables, threshold)
    return DecisionReport(
        threshold=threshold,
        alpha=alpha,
        n_calibration=n_calibration,
        rates=flag_rates(tables, threshold, rules),
        comparison=comparison,
        reasons=why,
        predictors=predictors(tables, threshold),
        detection=numbers,
        sentences=tuple(_sentences(comparison, why, numbers)),
    )


def _sentences(comparison: "pd.DataFrame", why: "pd.DataFrame", numbers: Mapping[str, float]) -> list[str]:
    said = []
    if numbers.get("auroc", 1.0) <= _UNFIT:
        said.append(
            f"The detector is unfit: image AUROC {numbers['auroc']:.2f} is at most {_UNFIT}; no rule mends that."
        )
    for rule, rows in comparison.groupby("rule", sort=False) if len(comparison) else ():
        words = {"lowers": "lowers false alarms on", "raises": "raises them on", "undecided": "undecided on"}
        parts = [
            f"{words[w]} {', '.join(rows.loc[rows['says'] == w, 'group'])}" for w in words if (rows["says"] == w).any()
        ]
        said.append(f"At equal recall {rule} {'; '.join(parts)}.")
    if len(why):
        wrong, right = (int(why.loc[why["verdict"] == v, "count"].sum()) for v in ("wrong", "right"))
        total = int(why.drop_duplicates("group")["n_detected"].sum())
        if total:
            said.append(f"Of {total} detected defects {right / total:.0%} were flagged for the right reason and "
                        f"{wrong / total:.0%} for a wrong one.")  # fmt: skip
    return [*said, "The decision stays the score alone."]


def _table(score: AnomalyScore, x: Tensor, masks: AnyArray | None, roi: Any) -> "pd.DataFrame":
    table = evidence(score, x, roi=roi)
    if masks is not None:
        why = right_reason(score, x, masks)
        table["verdict"], table["mass_above"] = list(why.verdict), why.mass_above
    return table


def _chosen(rules: Mapping[str, Rule] | None, roi: Any, masks: Mapping[str, Any]) -> dict[str, Rule]:
    chosen = {name: rule for name, rule in RULES.items() if roi is not None or name != "score+roi"}
    return chosen | (ORACLE_RULES if masks else {}) | dict(rules or {})


def _masks_of(groups: Mapping[str, Tensor], masks: Any) -> dict[str, AnyArray]:
    if masks is None:
        return {}
    given = masks if isinstance(masks, Mapping) else {_DEFECT: masks}
    for name in given:
        check_choice("group of masks", name, groups)
    if _GOOD in given:
        raise InputError('the group "good" has no defects; fix: masks for the groups of defects only')
    return {k: on_host(m) for k, m in given.items()}


def _image_level(tables: "Mapping[str, pd.DataFrame]", defects: tuple[str, ...]) -> dict[str, float]:
    bad = [tables[d]["s"].to_numpy() for d in defects]
    if not bad:
        return {}
    good = tables[_GOOD]["s"].to_numpy()
    scores = np.concatenate([good, *bad])
    labels = np.arange(len(scores)) >= len(good)
    area, best = auroc(scores, labels, interval="delong"), f1_max(scores, labels)
    assert isinstance(area, Auroc)
    assert isinstance(best, F1Max)
    return {"auroc": area.value, "auroc_low": area.low, "auroc_high": area.high, "oracle_f1_max": best.value}


def _detection(score: AnomalyScore, groups: Mapping[str, Tensor], masks: Mapping[str, AnyArray]) -> dict[str, float]:
    if not masks:
        return {}
    parts = [(groups[d], m) for d, m in masks.items()]
    if _GOOD in groups:
        good = groups[_GOOD]
        parts.append((good, np.zeros((len(good), *good.shape[2:]), bool)))
    try:
        with torch.no_grad():
            maps = np.concatenate([resize_map(score.map(x), x.shape[2:])[:, 0].cpu().numpy() for x, _ in parts])
    except NoMapError:
        return {}
    truth = np.concatenate([np.asarray(m, bool) for _, m in parts])
    return {"pixel_auroc": float(pixel_auroc(maps, truth)), "aupro": float(aupro(maps, truth))}
