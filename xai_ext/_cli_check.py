"""``xai-ext check``: the battery from the command line."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer


def check(
    method: Annotated[
        str | None, typer.Argument(metavar="MODULE:CLASS", help="What is checked; its module is imported and run.")
    ] = None,
    make: Annotated[str | None, typer.Option(help="MODULE:FUNC of the forward function -> the ready object.")] = None,
    tags: Annotated[str, typer.Option(help="What the method claims, name=value joined by commas.")] = "",
    only: Annotated[str | None, typer.Option(help="Comma list of globs of checks.")] = None,
    skip: Annotated[str | None, typer.Option(help="Comma list of globs of checks that are not run.")] = None,
    expected: Annotated[Path | None, typer.Option(help="TOML of expected failures, a table per MODULE:CLASS.")] = None,
    profile: Annotated[str, typer.Option(help="fast, default or full.")] = "default",
    json: Annotated[bool, typer.Option("--json", help="Only JSON on standard output.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the checks and what they promise; run nothing.")] = False,
) -> None:
    """Put an attribution method through the battery of checks.

    Naming a class imports and runs its module, with your rights.

    Exit codes: 0 all as expected, 2 usage, import or construction failed, 3 a check failed or passed unexpectedly,
    1 an error of the battery itself.
    """
    if list_:
        _list()
        return
    from xai_ext._checks import InputError

    if method is None:
        raise InputError("name what is to be checked, MODULE:CLASS; fix: xai-ext check captum.attr:Occlusion")
    cls, maker = _loaded(method), None if make is None else _loaded(make)
    report = _report(method, cls, maker, tags, (only, skip), expected, profile)
    typer.echo(report.to_json() if json else report.table())
    if report.failed:
        raise typer.Exit(3)


def _report(method: str, cls: Any, make: Any, tags: str, globs: Any, expected: Path | None, profile: str) -> Any:
    from xai_ext.testing import check_attribution, load_expected
    from xai_ext.testing._case import CHECKS, chosen
    from xai_ext.testing.tags import parse_tags

    run = {c.id for c in chosen(*globs)}
    failures = {} if expected is None else load_expected(expected).get(method, {})
    return check_attribution(
        cls, make=make, tags=parse_tags(tags) or None, skip=[name for name in CHECKS if name not in run],
        expected_failures=failures, on_fail=None, profile=profile,  # type: ignore[arg-type]
    )  # fmt: skip


def _list() -> None:
    from xai_ext.testing import battery
    from xai_ext.testing._case import CHECKS

    del battery  # registers the checks
    for item in CHECKS.values():
        typer.echo(f"{item.id:22} {item.group:17} {item.promise}")


def _loaded(name: str) -> Any:
    """What ``module:attribute`` names; the current folder is searched first, as by ``python -m``."""
    from xai_ext._checks import InputError

    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise InputError(f"expected MODULE:CLASS, got {name!r}")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # of a module that is not ours
        raise InputError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    return found
