"""The command ``xai-ext compare``; nothing heavy is imported before the arguments are read."""

import contextlib
import errno
import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from xai_ext.study import CompareResult
    from xai_ext.study.config import Config

_PRESETS = ("lime_figures", "iassa_poster")
_NOT_IN_CONFIG = ("quick", "out", "as_json", "sort", "progress", "dry_run", "config", "print_config", "allow_import",
                  "force", "preset", "anomaly", "no_report", "context")  # fmt: skip
_HOW_TO_RUN = "How it runs"
_OUTPUT = "Output"


def compare(
    context: typer.Context,
    image: Annotated[
        str, typer.Argument(help="A photo, or coffee, chelsea or china; without it, coffee (with a preset: all three).")
    ] = "coffee",
    model: Annotated[
        str,
        typer.Option(help="efficientnet_lite0, torchvision:NAME, timm:NAME, hf:NAME or module:callable; NAME@none has "
                     "random weights."),
    ] = "efficientnet_lite0",
    methods: Annotated[
        str,
        typer.Option(help="Comma list of names, globs (captum.*), groups (ours, captum, shap, lime, gradient, "
                     "reference), rise:KEY=VALUE;KEY=VALUE, module:callable; -NAME drops."),
    ] = "default",
    target: Annotated[
        str, typer.Option(help="Comma list of topN, class indices and class names.")
    ] = "top1",
    budget: Annotated[int, typer.Option(help="Model evaluations per run of a method.")] = 500,
    repeats: Annotated[int, typer.Option(help="Runs of each method that draws, each at the whole budget.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="Budget 200, 2 repeats, curves of 14 steps.")] = False,
    baseline: Annotated[
        str,
        typer.Option(help="zero, black, white, mean, segment_mean, blur, blur:SIGMA, inpaint, a number or image:PATH."),
    ] = "zero",
    metric_baseline: Annotated[
        str | None, typer.Option(help="The same for deletion and insertion; without it, that of the methods.")
    ] = None,
    metric_steps: Annotated[int, typer.Option(help="Steps of the curves of deletion and insertion.")] = 28,
    segments: Annotated[
        str, typer.Option(help="Shared regions: slic:N, grid:RxC, quickshift, a NPY or PNG file, module:callable.")
    ] = "slic:50",
    mask: Annotated[str | None, typer.Option(help="Image of the photo's size, above 0 on the object.")] = None,
    box: Annotated[str | None, typer.Option(help="The object instead: x0,y0,x1,y1;... in pixels of the photo.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer of Grad-CAM; without it, the last map.")] = None,
    hosts: Annotated[
        str,
        typer.Option(help="prepared: Captum's hooks get a copy of the network with one module per activation; as-is."),
    ] = "prepared",
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows per forward; measured where not given.", rich_help_panel=_HOW_TO_RUN)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Of torch; measured where not given.", rich_help_panel=_HOW_TO_RUN)
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, ...; without it, where the model is.", rich_help_panel=_HOW_TO_RUN)
    ] = None,
    workers: Annotated[
        int,
        typer.Option(help="Processes that share the runs, one thread each; 0: this one. Numbers do not depend on it.",
                     rich_help_panel=_HOW_TO_RUN),
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run and how long.", rich_help_panel=_HOW_TO_RUN)
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="Options in TOML or JSON; typed ones go first.", rich_help_panel=_HOW_TO_RUN)
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the options as such a file.", rich_help_panel=_HOW_TO_RUN)
    ] = False,
    allow_import: Annotated[
        bool,
        typer.Option("--allow-import", help="The file may name code to run.", rich_help_panel=_HOW_TO_RUN),
    ] = False,
    progress: Annotated[str, typer.Option(help="auto, bar, plain or none.", rich_help_panel=_HOW_TO_RUN)] = "auto",
    out: Annotated[
        Path, typer.Option(help="Folder for figures, numbers, maps, tables and report.", rich_help_panel=_OUTPUT)
    ] = Path("xai-ext-compare"),
    force: Annotated[
        bool, typer.Option("--force", help="Write into a folder that holds something else.", rich_help_panel=_OUTPUT)
    ] = False,
    sort: Annotated[
        str, typer.Option(help="What orders the table: srg, deletion, iou, cost, name, ...", rich_help_panel=_OUTPUT)
    ] = "srg",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print result.json, alone, to stdout.", rich_help_panel=_OUTPUT)
    ] = False,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Write no HTML.", rich_help_panel=_OUTPUT)
    ] = False,
    preset: Annotated[
        str | None,
        typer.Option(help="lime_figures: how LIME explains three photos. iassa_poster: LIME, RISE and IASSA as "
                     "published, on a data set with masks (IMAGE).", rich_help_panel="Other studies"),
    ] = None,
    anomaly: Annotated[
        bool,
        typer.Option("--anomaly", help="Explain a detector of defects instead; IMAGE is brick, gravel or grass.",
                     rich_help_panel="Other studies"),
    ] = False,
) -> None:  # fmt: skip
    """Explain one photo by every method at an equal budget; print a table, write figures, numbers, maps and a report.

    With --anomaly a texture takes the photo's place (brick without one): a small autoencoder is trained, calibrated
    on normal images, and its decisions on drawn defects are explained and judged; of the other options --budget,
    --seed, --out and --progress count.

    Ctrl-C keeps what is finished. Exit codes: 0 done, 2 something you can mend (said in one line), 3 done but a method
    failed, 4 no method gave a map, 6 disk full, 130 and 143 interrupted.
    """
    given = {k: v for k, v in context.params.items() if _typed(context, k)}
    if preset is not None:
        _preset(preset, given, out, force)
    elif anomaly:
        _anomaly("brick" if image == "coffee" else image, budget, seed, out, progress)
    else:
        _compare(_config(given, config, quick, allow_import), context.params)


def _typed(context: typer.Context, key: str) -> bool:
    return str(context.get_parameter_source(key)).endswith("COMMANDLINE")


def _config(given: dict[str, Any], file: Path | None, quick: bool, allow_import: bool) -> "Config":
    """What is typed goes before the file, that before --quick, that before the defaults."""
    from xai_ext.study.config import QUICK, Config, read_config

    of_file = {} if file is None else read_config(file, allow_import=allow_import)
    typed = {k: v for k, v in given.items() if k not in _NOT_IN_CONFIG}
    return Config(**{**(QUICK if quick else {}), **of_file, **typed})


def _compare(config: "Config", options: dict[str, Any]) -> None:
    from xai_ext._checks import check_choice
    from xai_ext.study import output
    from xai_ext.study.config import as_toml

    check_choice("sort", options["sort"], output.sort_names())
    if options["print_config"]:
        typer.echo(as_toml(config))
        return
    if options["dry_run"]:
        typer.echo(_planned(config))
        return
    output.check_folder(options["out"], force=options["force"])
    with contextlib.redirect_stdout(sys.stderr):  # loaders and hosts print
        result = _run(config, options["progress"])
        paths = _saved(result, options["out"], not options["no_report"])
    if options["as_json"]:
        typer.echo(json.dumps(output.as_json(result), ensure_ascii=False))
    else:
        typer.echo(output.table(result, options["sort"]))
        typer.echo("\nwrote " + ", ".join(map(str, paths)))
    _leave(result)


def _run(config: "Config", progress: str) -> "CompareResult":
    from dataclasses import asdict

    from xai_ext.study import compare as run

    return run(progress=progress, **asdict(config))


def _planned(config: "Config") -> str:
    from xai_ext.study.compare import set_up
    from xai_ext.study.methods import choose_methods

    with contextlib.redirect_stdout(sys.stderr), set_up(config, choose_methods(config.methods, config.settings)) as s:
        return s.table()


def _saved(result: "CompareResult", out: Path, report: bool) -> list[Path]:
    from xai_ext.study import output
    from xai_ext.study._files import DiskFull

    try:
        return output.save(result, out, report=report)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DiskFull(f"the disk of {out} is full; a comparison needs about 10 MB there") from error


def _leave(result: "CompareResult") -> None:
    """The exit code of a finished comparison."""
    scores = [s for r in (result, *result.further) for s in r.scores]
    if result.interrupted is not None:
        raise typer.Exit(128 + result.interrupted)
    if not any(s.runs for s in scores):
        raise typer.Exit(4)
    if any(s.status == "failed" for s in scores):
        raise typer.Exit(3)


def _preset(name: str, given: dict[str, Any], out: Path, force: bool) -> None:
    """What was typed goes before what the preset says; what it has no use for is refused."""
    from xai_ext._checks import InputError, check_choice
    from xai_ext.study import output

    check_choice("preset", name, _PRESETS)
    output.check_folder(out, force=force)
    preset = importlib.import_module(f"xai_ext.study.{name}")
    options = {k: v for k, v in given.items() if k not in ("preset", "out", "progress", "force")}
    if "image" in options:
        options["images"] = (options.pop("image"),)
    unused = sorted(set(options) - set(vars(preset.Settings())))
    if unused:
        raise InputError(f"the preset {name} has no use for --{', --'.join(unused)}; fix: leave it out")
    settings = preset.Settings(**options)
    found = preset.run(settings)
    typer.echo(preset.table(found))
    typer.echo("\nwrote " + ", ".join(str(path) for path in preset.save(found, settings, out)))


def _anomaly(texture: str, budget: int, seed: int, out: Path, progress: str) -> None:
    from xai_ext.study.anomaly import AnomalyConfig, anomaly_demo

    demo = anomaly_demo(AnomalyConfig(texture=texture, budget=budget, seed=seed), progress=progress != "none")
    typer.echo(demo.summary())
    typer.echo("\nwrote " + ", ".join(str(path) for path in demo.save(out)))
