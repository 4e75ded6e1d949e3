"""From a texture to explained defects: train, calibrate on normals, explain, judge."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from xai_ext import segmentation
from xai_ext._batching import measured_plan
from xai_ext._checks import InputError, check_at_least
from xai_ext._task import CountedModel, MapResult, Method, Task
from xai_ext._types import FloatArray
from xai_ext.anomaly import (
    VAEGAN,
    ReconstructionScore,
    RightReason,
    TextureDefects,
    TopK,
    right_reason,
    texture_defects,
    train_vae_gan,
)
from xai_ext.metrics.detection import Auroc, auroc
from xai_ext.plots import AnomalyRow, anomaly_sheet
from xai_ext.study._explain_table import explain_table
from xai_ext.study.methods import choose_methods

if TYPE_CHECKING:
    import pandas as pd

METHODS = "bpt_owen,stratified_lime,captum.IntegratedGradients,shap.Partition"
_SEGMENTS = 40
_SHOWN = ("iou_mass80", "chance_iou_mass80", "pointing_game", "chance_pointing_game", "mass_accuracy",
          "chance_mass_accuracy", "roc_auc", "oracle_max_iou", "chance_oracle_max_iou")  # fmt: skip


@dataclass(frozen=True)
class AnomalyConfig:
    """What `anomaly_demo` was asked for."""

    texture: str = "brick"
    budget: int = 500
    seed: int = 0
    n_defects: int = 6
    epochs: int | None = None
    n_train: int = 2000
    alpha: float = 0.05

    def __post_init__(self) -> None:
        check_at_least("budget", self.budget, 10)
        check_at_least("n_defects", self.n_defects, 1)


@dataclass(frozen=True, eq=False)
class AnomalyDemo:
    """What came of it.

    Attributes
    ----------
    score : ReconstructionScore
        Trained and calibrated.
    area : Auroc
        Of the images, with its interval.
    verdicts : RightReason
        Of all defects.
    rows : list of AnomalyRow
        The defects that were explained.
    table : DataFrame
        Mean of `explain_table` over them.
    """

    config: AnomalyConfig
    score: ReconstructionScore
    area: Auroc
    verdicts: RightReason
    rows: list[AnomalyRow]
    table: "pd.DataFrame"
    flagged_good: float = field(default=float("nan"))

    def summary(self) -> str:
        """Numbers and what they mean."""
        counts = {v: self.verdicts.verdict.count(v) for v in ("right", "partly", "wrong", "undecided", "not_detected")}
        calibration = self.score.info.calibration
        assert calibration is not None
        judged = ", ".join(f"{v} {n}" for v, n in counts.items())
        lines = [
            f"{self.config.texture}: image AUROC {self.area.value:.3f} [{self.area.low:.3f}, {self.area.high:.3f}]",
            f"threshold {self.score.threshold:.3f} from {calibration.n} normals, alpha {calibration.alpha}; "
            f"of other normals {self.flagged_good:.1%} are flagged",
            f"verdicts on {len(self.verdicts.verdict)} defects: {judged}",
            "",
            f"maps of {len(self.rows)} defects (means; oracle columns know the truth):",
            self.table.loc[:, list(_SHOWN)].to_string(float_format="{:.2f}".format),
        ]
        return "\n".join(lines)

    def save(self, folder: Path) -> list[Path]:
        """Write figure.png and result.json."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / "figure.png", folder / "result.json"]
        anomaly_sheet(self.rows, title=self.summary().partition("\n")[0]).savefig(paths[0], dpi=110)
        results = {
            "config": asdict(self.config),
            "auroc": asdict(self.area),
            "threshold": self.score.threshold,
            "verdicts": json.loads(self.verdicts.table().to_json(orient="records")),
            "maps": json.loads(self.table.to_json(orient="index")),
        }
        paths[1].write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        return paths


def anomaly_demo(
    config: AnomalyConfig | None = None, *, progress: bool = False, network: VAEGAN | None = None
) -> AnomalyDemo:
    """Train the small network on a texture, calibrate it on normals, explain defects by methods of three libraries.

    Parameters
    ----------
    config : AnomalyConfig, optional
    progress : bool
        A bar of training epochs.
    network : VAEGAN, optional
        Trained already.
    """
    c = config or AnomalyConfig()
    data = texture_defects(c.texture, seed=c.seed, n_train=c.n_train if network is None else 0, n_nuisance=0)
    if network is None:
        network = train_vae_gan(data.train, epochs=c.epochs, seed=c.seed, show_progress=progress)
    score = ReconstructionScore(network, reduce=TopK(0.01)).calibrate(data.calibration, c.alpha)
    verdicts = right_reason(score, data.bad, data.masks)
    good = score.scores_of(data.good)
    area = auroc(np.concatenate([good, verdicts.s_x]), np.arange(len(good) + len(data.bad)) >= len(good),
                 interval="delong")  # fmt: skip
    assert isinstance(area, Auroc)
    rows, tables = _explained(score, data, verdicts, c)
    return AnomalyDemo(c, score, area, verdicts, rows, _mean(tables), float((good > verdicts.threshold).mean()))


def _explained(
    score: ReconstructionScore, data: TextureDefects, verdicts: RightReason, c: AnomalyConfig
) -> "tuple[list[AnomalyRow], list[pd.DataFrame]]":
    rows, tables = [], []
    for i in _chosen(verdicts, c.n_defects):
        x, mask = data.bad[i : i + 1], data.masks[i].numpy()
        maps = _maps(score, x, c)
        tables.append(explain_table(score, x, mask, maps, seed=c.seed))
        raw = score.map(x)[0, 0].detach().double().numpy()
        numbers = f"score {verdicts.s_x[i]:.2f}, threshold {verdicts.threshold:.2f}"
        caption = f"{data.kinds[i]}, {verdicts.verdict[i]}\n{numbers}"
        rows.append(AnomalyRow(_picture(x), _picture(score.reference(x)), raw, maps, mask, caption))
    return rows, tables


def _chosen(verdicts: RightReason, n: int) -> list[int]:
    """The first detected ones, in the order of the data; others where these do not suffice."""
    detected = [i for i, v in enumerate(verdicts.verdict) if v != "not_detected"]
    missed = [i for i, v in enumerate(verdicts.verdict) if v == "not_detected"]
    return (detected + missed)[:n]


def _maps(score: ReconstructionScore, x: Tensor, c: AnomalyConfig) -> dict[str, FloatArray]:
    """Densities (H, W) of every method, by name."""
    methods = [*choose_methods(METHODS), Method("iassa", "xai_ext", "windows", False, _iassa)]
    labels = segmentation.slic(x, n_segments=_SEGMENTS)
    size = measured_plan(score, (x,)).batch_size
    made = {}
    for method in methods:
        counted = CountedModel(score)
        task = Task(counted, x.clone(), score.reference(x), None, labels, c.budget, size, None, c.seed)
        made[method.name] = method.run(task).values
    return made


def _iassa(task: Task) -> MapResult:
    from xai_ext.attr import IASSA

    made = IASSA(task.model).attribute(task.x, task.baseline, n_samples=task.budget, perturbations_per_eval=None)
    assert isinstance(made, Tensor)
    return MapResult(made[0].double().sum(0).cpu().numpy())


def _picture(x: Tensor) -> FloatArray:
    array = np.asarray(x[0].movedim(0, -1).detach().double().cpu().numpy())
    return array[..., 0] if array.shape[2] == 1 else array


def _mean(tables: "list[pd.DataFrame]") -> "pd.DataFrame":
    import pandas as pd

    if not tables:
        raise InputError("there is no defect to explain")
    return pd.concat(tables).groupby("map", sort=False).mean(numeric_only=True)
