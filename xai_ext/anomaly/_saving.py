"""Scores in a folder: score.json beside score.safetensors."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from xai_ext._checks import InputError, InputTypeError
from xai_ext.anomaly import reducers
from xai_ext.anomaly._info import Calibration, ScoreInfo
from xai_ext.anomaly._tensors import described_by, read_tensors, write_tensors

if TYPE_CHECKING:
    from xai_ext.anomaly.reconstruction import ReconstructionScore
    from xai_ext.anomaly.scores import AnomalyScore

_SCHEMA = 1
_KEYS = {"schema", "info", "settings", "reduce", "threshold", "row_by_row", "model", "calibration"}


def save(score: "AnomalyScore", folder: Path) -> None:
    """See `AnomalyScore.save`."""
    from xai_ext.anomaly.vae_gan import VAEGAN

    own = _saveable(score)
    folder.mkdir(parents=True, exist_ok=True)
    info = {k: v for k, v in asdict(replace(own.info, calibration=None)).items() if k != "calibration"}
    calibration, model = own.info.calibration, own.model
    described = {
        "schema": _SCHEMA,
        "info": info,
        "settings": asdict(own.settings),
        "reduce": {"name": type(own.reduce).__name__, **vars(own.reduce)},
        "threshold": own.threshold,
        "row_by_row": own.row_by_row,
        "model": model.description() if isinstance(model, VAEGAN) else None,
        "calibration": None if calibration is None else [calibration.n, calibration.alpha, calibration.ids_digest],
    }
    tensors = {f"model.{k}": v for k, v in own.model.state_dict().items()}
    if own.deviations is not None:
        tensors["deviations"] = own.deviations
    if calibration is not None and own.bank is not None:
        tensors["calibration"] = torch.from_numpy(calibration.scores)
        tensors["bank"], tensors["bank_scores"] = own.bank[0], torch.from_numpy(own.bank[1])
    write_tensors(folder / "score.safetensors", tensors, {})
    (folder / "score.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def load(folder: Path, model: nn.Module | None) -> "ReconstructionScore":
    """See `AnomalyScore.load`."""
    with described_by(folder / "score.json"):
        described = _described(folder)
        tensors, _ = read_tensors(folder / "score.safetensors")
        return _restored(described, tensors, model)


def _restored(
    described: dict[str, Any], tensors: dict[str, torch.Tensor], model: nn.Module | None
) -> "ReconstructionScore":
    from xai_ext.anomaly.reconstruction import ReconstructionScore

    weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    network = _network(described["model"], weights, model)
    s = described["settings"]
    score = ReconstructionScore(
        network, residual=s["residual"], reduce=_reducer(described["reduce"]), smooth=s["smooth"],
        stochastic=s["stochastic"], deviations=tensors.get("deviations"), seed=s["seed"],
    )  # fmt: skip
    info = ScoreInfo(**described["info"])
    if described["calibration"] is not None:
        n, alpha, digest = described["calibration"]
        info = replace(info, calibration=Calibration(n, alpha, digest, tensors["calibration"].numpy()))
        score._bank = (tensors["bank"], np.asarray(tensors["bank_scores"]))
    threshold = None if described["threshold"] is None else float(described["threshold"])
    score.info, score.threshold, score.row_by_row = info, threshold, bool(described["row_by_row"])
    return score


def _saveable(score: "AnomalyScore") -> "ReconstructionScore":
    from xai_ext.anomaly.reconstruction import ReconstructionScore

    if not isinstance(score, ReconstructionScore):
        raise InputTypeError(
            f"a score around {score.info.source} cannot be saved, since pickle is not written; fix: save the detector "
            "itself (scikit-learn: skops) and build the score again"
        )
    if score.info.surrogate_of is not None or score._decode is not None or score._reference is not None:
        raise InputTypeError(
            "a surrogate, and a score with functions decode= or reference=, cannot be saved; fix: save the plain score"
        )
    return score


def _described(folder: Path) -> dict[str, Any]:
    path = folder / "score.json"
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    described = json.loads(path.read_text("utf-8"))
    if not isinstance(described, dict) or set(described) != _KEYS or described["schema"] != _SCHEMA:
        unknown = sorted(set(described) ^ _KEYS) if isinstance(described, dict) else type(described).__name__
        raise InputError(f"{path} is not a score of this version: keys that differ: {unknown}")
    return described


def _reducer(described: dict[str, Any]) -> reducers.Reducer:
    fields = dict(described)
    name = fields.pop("name")
    known = {c.__name__: c for c in (reducers.Max, reducers.Mean, reducers.Sum, reducers.TopK, reducers.KthLargest,
                                     reducers.Quantile, reducers.LogSumExp)}  # fmt: skip
    if name not in known:
        raise InputError(f"score.json names the reducer {name!r}; known: {', '.join(known)}")
    made: reducers.Reducer = known[name](**fields)
    return made


def _network(description: dict[str, Any] | None, weights: dict[str, Any], model: nn.Module | None) -> nn.Module:
    from xai_ext.anomaly.vae_gan import VAEGAN

    if model is None and description is None:
        raise InputError("the saved network is no VAEGAN; fix: load(folder, model=an instance of its class)")
    if model is None:
        assert description is not None
        return VAEGAN.from_description(description, weights)
    model.load_state_dict(weights)
    return model
