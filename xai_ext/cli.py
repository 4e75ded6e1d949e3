"""The command ``xai-ext``; nothing heavy is imported before the arguments are read."""

import json
import sys

import typer

from xai_ext import _cli_bench, _cli_compare

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
_cli_bench.register(app)


@app.callback()
def _root() -> None:
    """Black-box explanations for Captum and SHAP, with error bars and honest metrics."""


app.command()(_cli_compare.compare)


@app.command()
def methods() -> None:
    """List the methods that can be compared: host, features, what they need, what a run costs, settings."""
    from xai_ext._task import Size
    from xai_ext.study.methods import all_methods, setting_names

    size = Size(500, 50, (224, 224))
    typer.echo(f"{'method':28} {'host':10} {'features':10} {'needs':15} {'cost':>5}  draws  settings")
    for m in all_methods():
        needs, draws = ", ".join(sorted(m.needs)), "yes" if m.draws else "no"
        typer.echo(
            f"{m.name:28} {m.host:10} {m.features:10} {needs:15} {m.planned_cost(size):5}  {draws:5}  "
            f"{', '.join(setting_names(m))}".rstrip()
        )
    typer.echo("\ncost: evaluations of one run at budget 500, 50 regions, 224 x 224 pixels, at most")


def main() -> None:
    """Run the command; what the user can mend is one line and exit code 2.

    With --json stdout holds one JSON document whatever happens.
    """
    try:
        app()
    except SystemExit as stop:
        if stop.code == 2:  # an unknown option
            _tell_json("see stderr", 2)
        raise
    except Exception as error:
        from xai_ext._checks import InputError, InputTypeError

        mendable = isinstance(error, InputError | InputTypeError)
        code = int(getattr(error, "exit_code", 2)) if mendable else 1
        _tell_json(str(error), code)
        if not mendable:
            raise
        typer.echo(f"xai-ext: {error}", err=True)
        sys.exit(code)


def _tell_json(error: str, code: int) -> None:
    if "--json" in sys.argv:
        typer.echo(json.dumps({"error": error, "exit_code": code}, ensure_ascii=False))


if __name__ == "__main__":
    main()
