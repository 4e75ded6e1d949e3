"""The commands of ``xai-ext`` that work on data sets: bench, status, verify, query, report, doctor."""

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from xai_ext.study.data import Reading

_Runs = Annotated[list[Path], typer.Argument(help="Folder of a run; several on the same data are read as one.")]
_MEASURES = "spearman,feature_agreement,sign_agreement,ssim"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (bench, status, verify, query, report, doctor):
        app.command()(command)


def bench(
    context: typer.Context,
    data: Annotated[
        list[str] | None,
        typer.Argument(help="Folders (flat, or one per class), CSV files, photos or instruments; NAME=SOURCE names."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run; the same command again continues it.")] = Path(
        "xai-ext-bench"
    ),
    models: Annotated[str, typer.Option("--models", "--model", help="Comma list.")] = "efficientnet_lite0",
    baselines: Annotated[str, typer.Option("--baselines", "--baseline", help="Comma list.")] = "zero",
    methods: Annotated[str, typer.Option(help="As in compare.")] = "default",
    target: Annotated[
        str, typer.Option(help="Comma list of topN, class indices and class names; or label: the data's.")
    ] = "top1",
    budget: Annotated[int, typer.Option(help="Model evaluations per method, image and repeat.")] = 500,
    repeats: Annotated[int, typer.Option(help="Of methods that draw.")] = 3,
    segments: Annotated[str, typer.Option(help="Shared regions.")] = "slic:50",
    layer: Annotated[str | None, typer.Option(help="Layer of Grad-CAM.")] = None,
    hosts: Annotated[str, typer.Option(help="prepared or as-is.")] = "prepared",
    batch_size: Annotated[int | None, typer.Option(help="Rows per forward; without it measured once.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    metric_baseline: Annotated[
        str | None, typer.Option(help="What deletion and insertion put in place; without it, what the methods put.")
    ] = None,
    metric_steps: Annotated[int, typer.Option(help="Of the curves of deletion and insertion.")] = 28,
    agreement: Annotated[str, typer.Option(help="Measures of the agreement of maps, comma list.")] = _MEASURES,
    limit: Annotated[int | None, typer.Option(help="So many images of each data set, drawn with --seed.")] = None,
    images_per_part: Annotated[int | None, typer.Option(help="Images in one file of results.")] = None,
    save_maps: Annotated[
        str, typer.Option(help="none; compact: means over the regions, in the parts; full: float16 in maps.zarr.")
    ] = "none",
    columns: Annotated[list[str] | None, typer.Option(help="Column of a CSV: target=COL, path=COL ...")] = None,
    allow_outside: Annotated[bool, typer.Option(help="A CSV may name files outside its folder.")] = False,
    engine: Annotated[str, typer.Option(help="serial, processes or ray.")] = "serial",
    workers: Annotated[int, typer.Option(help="Of processes and ray.")] = 1,
    threads: Annotated[int, typer.Option(help="Of torch, in each worker.")] = 1,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; without it, where the models are.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="HOST:PORT of a cluster; without it, this machine.")] = None,
    gpus_per_worker: Annotated[float, typer.Option(help="Share of a GPU that Ray sets aside for each worker.")] = 0.0,
    shard: Annotated[str | None, typer.Option(help="i/n: every n-th block, from the i-th.")] = None,
    unit_timeout: Annotated[float | None, typer.Option(help="Seconds after which a worker is killed.")] = None,
    max_failures: Annotated[float, typer.Option(help="Share of failed units that stops the run.")] = 0.1,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Forget earlier failures.")] = False,
    allow_numerics: Annotated[bool, typer.Option("--allow-numerics", help="Continue on other versions.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Work beside another runner.")] = False,
    preset: Annotated[
        str | None, typer.Option(help="disagreement, anomaly_decision or anomaly_paper; what is typed goes before it.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Options in a table [bench] of TOML or JSON; typed ones go first.")
    ] = None,
    allow_import: Annotated[bool, typer.Option("--allow-import", help="The file may name code to run.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and how long.")] = False,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the options as such a file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print how it ended and the study, as JSON, alone.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write OUT/report.html at the end.")] = True,
    progress: Annotated[str, typer.Option(help="auto, bar, plain or none.")] = "auto",
) -> None:
    """Explain every image of data sets by every method; stop and continue at any time.

    Exit codes: 0 done, 2 something you can mend, 3 done but some units failed, 4 too many failed, 5 the folder is in
    use or holds another run, 6 the disk is full, 130 and 143 interrupted.
    """
    from xai_ext.study import presets
    from xai_ext.study.config import bench_toml, listed, read_bench_config
    from xai_ext.study.data import Reading

    typed = {k for k in context.params if str(context.get_parameter_source(k)).endswith("COMMANDLINE")}
    options = {k: v for k, v in context.params.items() if k not in _NOT_OPTIONS}
    of_file = {} if config is None else read_bench_config(config, allow_import=allow_import)
    data = data or listed(of_file.pop("data", ()))
    options |= {k: v for k, v in of_file.items() if k not in typed}
    for name in ("models", "baselines", "agreement"):
        options[name] = tuple(listed(options[name]))
    if preset in presets.ANOMALY:
        typer.echo(presets.anomaly(preset, models, out, texture=(data or ["brick"])[0], seed=seed))
        return
    options, sources = presets.applied(preset, options, typed | set(of_file), data)
    reading = Reading(columns=_pairs(columns or []), allow_outside=allow_outside)
    if print_config:
        typer.echo(bench_toml(sources, options))
    elif dry_run:
        typer.echo(_planned(sources, reading, options))
    else:
        _run(sources, out, reading, options, as_json=as_json, report=report and shard is None)


_NOT_OPTIONS = ("data", "out", "columns", "allow_outside", "preset", "config", "allow_import", "report", "dry_run",
                "print_config", "as_json")  # fmt: skip


def _planned(sources: Sequence[str], reading: "Reading", options: dict[str, Any]) -> str:
    from xai_ext.study._dry_run import dry_run

    with contextlib.redirect_stdout(sys.stderr):  # loaders print
        return dry_run(sources, reading, **options)


def _run(
    sources: Sequence[str], out: Path, reading: "Reading", options: dict[str, Any], *, as_json: bool, report: bool
) -> None:
    """Run, say what was found, and leave with its exit code."""
    from xai_ext.study import presets
    from xai_ext.study.bench import bench as run

    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        found = run(sources, out=out, reading=reading, **options)
        for line in presets.said(found):
            typer.echo(line)
        if found.message:
            typer.echo(f"xai-ext: {found.message}", err=True)
        if report and found.exit_code in (0, 3):
            typer.echo("wrote " + ", ".join(str(path) for path in presets.reports(found)))
    if as_json:
        typer.echo(json.dumps(presets.as_json(found), ensure_ascii=False))
    raise typer.Exit(found.exit_code)


def status(runs: _Runs) -> None:
    """How far a run is."""
    for name, value in _opened(runs).status().items():
        typer.echo(f"{name:14} {value}")


def verify(runs: _Runs) -> None:
    """Read every stored bit; damaged files are set aside, and the same bench command computes them again."""
    damaged = _opened(runs).verify()
    typer.echo("\n".join([f"damaged: {name}" for name in damaged]) or "every part is as it was written")
    raise typer.Exit(3 if damaged else 0)


def query(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    sql: Annotated[str, typer.Argument(help="The table is called results; kind 'unit' is a metric of a map.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated, with a guard against formulas.")] = False,
) -> None:
    """Ask DuckDB."""
    from xai_ext.study._safe_names import csv_text

    found = _opened([run]).sql(sql)
    rows = found.itertuples(index=False, name=None)
    typer.echo(csv_text(list(found.columns), rows).rstrip() if as_csv else found.to_string(index=False))


def report(
    runs: _Runs,
    out: Annotated[Path, typer.Option(help="The file.")] = Path("report.html"),
    force: Annotated[bool, typer.Option("--force", help="Also of a run that is not finished.")] = False,
    target_rank: Annotated[int, typer.Option(help="Which of the run's targets, from 1.")] = 1,
) -> None:
    """Write one HTML file that can be mailed."""
    from xai_ext._checks import InputError

    run = _opened(runs, target_rank)
    found = run.status()
    if found["images_done"] < found["images"] and not force:
        raise InputError(
            f"{found['images_done']} of {found['images']} images are finished; fix: continue the run, or --force for a "
            "report on those"
        )
    typer.echo(f"wrote {run.report(out)}")


def doctor() -> None:
    """What is installed: versions, optional packages, weights, devices."""
    from xai_ext.study._doctor import findings

    for name, value in findings():
        typer.echo(f"{name:28} {value}")


def _opened(runs: list[Path], target_rank: int = 1) -> Any:
    from xai_ext.study.bench import BenchRun

    return BenchRun(*runs, target_rank=target_rank)


def _pairs(columns: list[str]) -> dict[str, str]:
    from xai_ext._checks import InputError

    if any("=" not in c for c in columns):
        raise InputError(f"columns must be NAME=COLUMN, got {json.dumps(columns)}")
    return dict(c.split("=", 1) for c in columns)
