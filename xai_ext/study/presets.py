"""Studies that are started by name, and what is said at their end."""

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from xai_ext._checks import InputError, InputTypeError, check_choice
from xai_ext.study._bench_run import BenchRun

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "disagreement": {
        "data": ("photos", "instruments"),
        "models": ("efficientnet_lite0", "efficientnet_lite1"),
        "baselines": ("zero", "blur"),
        "methods": (
            "captum.Saliency,captum.InputXGradient,captum.IntegratedGradients,captum.GuidedBackprop,"
            "captum.LayerGradCam,captum.Lime,captum.KernelShap,stratified_lime,bpt_owen,rise,center,random"
        ),
        "repeats": 3,
        "save_maps": "full",
    },
}
ANOMALY = ("anomaly_decision", "anomaly_paper")


def applied(
    preset: str | None, options: Mapping[str, Any], typed: set[str], data: Sequence[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Options and data sets of a preset, where nothing else was typed."""
    chosen = {} if preset is None else PRESETS[check_choice("preset", preset, (*PRESETS, *ANOMALY))]
    found = dict(options) | {k: v for k, v in chosen.items() if k not in typed and k != "data"}
    sources = tuple(data) or chosen.get("data", ())
    if not sources:
        raise InputError("bench needs data: folders, CSV files, photos or instruments; fix: xai-ext bench photos")
    return found, sources


def as_json(run: BenchRun) -> dict[str, Any]:
    """How a run ended, and what its maps say; None where nothing can be said yet."""
    try:
        found = json.loads(run.disagreement().to_json())
    except InputError:
        found = None
    ended = {"exit_code": run.exit_code, "message": run.message, "status": run.status()}
    return {"schema": 1, **ended, "config_hash": run.manifest["config_hash"], "disagreement": found}


def reports(run: BenchRun) -> Iterator[Path]:
    """Write a report for each target of the run: ``report.html``, ``report-target-2.html``, ..."""
    for rank in range(1, run.n_targets + 1):
        name = "report.html" if rank == 1 else f"report-target-{rank}.html"
        yield BenchRun(run.folder, target_rank=rank).report(run.folder / name)


def said(run: BenchRun) -> Iterator[str]:
    """What a run found, in a few lines."""
    found = run.status()
    yield (
        f"{found['images_done']} of {found['images']} images, {found['units_done']} of {found['units']} units; "
        f"{found['failed']} failed, {found['quarantined']} quarantined; in {run.folder}"
    )
    if found["images_done"]:
        try:
            yield run.disagreement().summary()
        except InputError as reason:
            yield str(reason)


def anomaly(preset: str, model: str, out: Path, *, texture: str = "brick", seed: int = 0, n_images: int = 6) -> str:
    """A study of a detector on drawn defects: its decisions, or maps as the published study made them.

    Parameters
    ----------
    preset : {"anomaly_decision", "anomaly_paper"}
    model : str
        ``module:make_score``, a function that returns a calibrated `AnomalyScore` of images 64 x 64 of one channel.
    out : Path
        Folder for ``decision.json`` or ``maps.csv``.
    texture : {"brick", "gravel", "grass"}
    seed : int
        Of the texture's crops and defects.
    n_images : int
        Defects whose maps are made.
    """
    from xai_ext.anomaly import AnomalyScore, texture_defects

    score = _imported(model)
    if not isinstance(score, AnomalyScore):
        raise InputTypeError(f"{model} must return an AnomalyScore, got {type(score).__name__}")
    data = texture_defects(texture, seed=seed, n_train=1, n_calibration=1)
    out.mkdir(parents=True, exist_ok=True)
    if preset == "anomaly_decision":
        return _decision(score, data, out)
    return _paper(score, data, out, n_images)


def _imported(name: str) -> Any:
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"--model must be module:make_score, got {name!r} ({error})") from error


def _decision(score: Any, data: Any, out: Path) -> str:
    from xai_ext.study.anomaly import decision_report

    groups = {"good": data.good, "defect": data.bad, **data.nuisance}
    report = decision_report(score, groups, masks={"defect": data.masks})
    (out / "decision.json").write_text(report.to_json(), encoding="utf-8")
    return report.summary()


def _paper(score: Any, data: Any, out: Path, n_images: int, n_samples: int = 500) -> str:
    """Setups S1 and S3; S2's segmentation looks at the truth and can be compared with nothing."""
    from xai_ext.study._safe_names import write_csv
    from xai_ext.study.anomaly import compare_all, paper_setup

    methods = {
        f"{setup} {variant}": partial(paper_setup, score, setup=setup, variant=variant, n_samples=n_samples)
        for setup in ("S1", "S3") for variant in ("code", "text", "decision")
    }  # fmt: skip
    table = compare_all(score, data.bad[:n_images], data.masks[:n_images], methods)
    write_csv(table.reset_index(), out / "maps.csv")
    return str(table.to_string(float_format="{:.3f}".format))
