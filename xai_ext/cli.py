"""The command ``xai-ext``; nothing heavy is imported before the arguments are read."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from xai_ext._cli_check import check

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.command()(check)


@app.callback()
def _root() -> None:
    """Black-box explanations for Captum and SHAP, with error bars and honest metrics."""


@app.command()
def compare(
    context: typer.Context,
    image: Annotated[
        str, typer.Argument(help="A photo, or coffee, chelsea or china; without it, coffee (with a preset: all three).")
    ] = "coffee",
    model: Annotated[
        str, typer.Option(help="efficientnet_lite0, torchvision:NAME, timm:NAME, hf:NAME or module:callable.")
    ] = "efficientnet_lite0",
    methods: Annotated[
        str,
        typer.Option(
            help="Comma list of names, globs (captum.*) and groups (ours, captum, shap, lime, reference); -NAME drops."
        ),
    ] = "default",
    target: Annotated[str, typer.Option(help="top1, a class index or a class name.")] = "top1",
    budget: Annotated[int, typer.Option(help="Model evaluations per method.")] = 500,
    baseline: Annotated[
        str,
        typer.Option(help="zero, black, white, mean, segment_mean, blur, blur:SIGMA, inpaint, a number or image:PATH."),
    ] = "zero",
    segments: Annotated[str, typer.Option(help="Shared regions: slic:N, grid:RxC or quickshift.")] = "slic:50",
    mask: Annotated[str | None, typer.Option(help="Image of the photo's size, above 0 on the object.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer of Grad-CAM; without it, the last map.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    runs: Annotated[int, typer.Option(help="Runs of each method that draws, each at the whole budget.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder for figures, results.json and maps.npz.")] = Path("xai-ext-compare"),
    progress: Annotated[str, typer.Option(help="auto, bar or none.")] = "auto",
    preset: Annotated[
        str | None,
        typer.Option(help="lime_figures: how LIME explains three photos, for the three likeliest classes of each."),
    ] = None,
    anomaly: Annotated[
        bool,
        typer.Option("--anomaly", help="Explain a detector of defects instead; IMAGE is then brick, gravel or grass."),
    ] = False,
) -> None:
    """Explain one photo by every method at an equal budget; print a table, write a figure, numbers and maps.

    With --anomaly a texture takes the photo's place (brick without one): a small autoencoder is trained, calibrated
    on normal images, and its decisions on drawn defects are explained and judged; of the other options --budget,
    --seed, --out and --progress count.

    Exit codes: 0 done, 2 something you can mend (said in one line), 3 done but a method failed.
    """
    from xai_ext.study import compare as run
    from xai_ext.study import output

    output.check_folder(out)
    if preset is not None:
        _preset(preset, context, out)
        return
    if anomaly:
        _anomaly("brick" if image == "coffee" else image, budget, seed, out, progress)
        return
    result = run(
        image, progress=progress, model=model, methods=methods, target=target, budget=budget, baseline=baseline,
        segments=segments, mask=mask, layer=layer, seed=seed, runs=runs,
    )  # fmt: skip
    typer.echo(output.table(result))
    typer.echo("\nwrote " + ", ".join(str(path) for path in output.save(result, out)))
    if any(score.status == "failed" for score in result.scores):
        raise typer.Exit(3)


def _preset(name: str, context: typer.Context, out: Path) -> None:
    """What was typed goes before what the preset says; what it has no use for is refused."""
    from xai_ext._checks import InputError, check_choice
    from xai_ext.study import lime_figures as preset

    check_choice("preset", name, ("lime_figures",))
    given = {key for key in context.params if str(context.get_parameter_source(key)).endswith("COMMANDLINE")}
    options = {key: context.params[key] for key in given - {"preset", "out", "progress"}}
    if "image" in options:
        options["images"] = (options.pop("image"),)
    unused = sorted(set(options) - set(vars(preset.Settings())))
    if unused:
        raise InputError(f"the preset {name} has no use for --{', --'.join(unused)}; fix: leave it out")
    settings = preset.Settings(**options)
    sheets = preset.lime_figures(settings)
    typer.echo(preset.table(sheets))
    typer.echo("\nwrote " + ", ".join(str(path) for path in preset.save(sheets, settings, out)))


def _anomaly(texture: str, budget: int, seed: int, out: Path, progress: str) -> None:
    from xai_ext.study.anomaly import AnomalyConfig, anomaly_demo

    demo = anomaly_demo(AnomalyConfig(texture=texture, budget=budget, seed=seed), progress=progress != "none")
    typer.echo(demo.summary())
    typer.echo("\nwrote " + ", ".join(str(path) for path in demo.save(out)))


@app.command()
def methods() -> None:
    """List the methods that can be compared."""
    from xai_ext.study.methods import all_methods

    for method in all_methods():
        typer.echo(f"{method.name:28} {method.host:10} values of {method.features}{', draws' if method.draws else ''}")


def main() -> None:
    """Run the command; what the user can mend is one line and exit code 2."""
    try:
        app()
    except Exception as error:
        from xai_ext._checks import InputError, InputTypeError

        if not isinstance(error, InputError | InputTypeError):
            raise
        typer.echo(f"xai-ext: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
