"""Sphinx extension: pages made from what the project already has.

The benchmarks' results become pages, with the machine and the versions behind them; links that lead from a page out of
``docs/`` (they work where the repository is browsed) are turned to these pages. The list of public modules is read from
the package.
"""

import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent
_OUTSIDE = re.compile(r"\]\((?:\.\./)+benchmarks/([\w.]+)")
_SCRIPT_LINK = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(benchmarks/\w+\.py)\)")
_FOOTNOTE = re.compile(r"^(\s*)\.\. \[(\d+)\] (.*)$")
_CITED = re.compile(r"\[(\d+)\]_")


def local_links(source: str) -> str:
    """The text with links to ``benchmarks/`` leading to the generated pages."""
    source = _SCRIPT_LINK.sub(r"\1: `\2`", source)  # scripts have no page
    return _OUTSIDE.sub(lambda match: f"](/benchmarks/{match[1].replace('README.md', 'index.md')}", source)


def versions() -> str:
    """The tested versions as a table."""
    pinned = re.findall(r"^([\w-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)
    rows = "\n".join(f"| {name} | {version} |" for name, version in pinned)
    return f"## Versions\n\n| package | version |\n|---|---|\n{rows}\n"


def benchmark_pages() -> dict[str, str]:
    """Name -> text of every page about benchmarks."""
    folder = ROOT / "benchmarks"
    pages = {path.name: path.read_text().replace("](../docs/", "](/") for path in sorted(folder.glob("*.md"))}
    start, machine = pages.pop("README.md"), pages.pop("machine.md")
    toctree = "\n".join(["```{toctree}", ":caption: Results", ":maxdepth: 1", "", *pages, "```"])
    return {"index.md": "\n\n".join([start, toctree, machine, versions()]), **pages}


def public_modules() -> list[str]:
    """Every module that a user may import from, once: not those whose names their package has already."""
    root = importlib.import_module("xai_ext")
    found = ["xai_ext"]
    for name in _below(root):
        module = importlib.import_module(name)
        inner = [f"{name}.{m}" for m in _names(module)]
        found += [name] if not hasattr(module, "__path__") or getattr(module, "__all__", None) else []
        found += [m for m in inner if _adds(importlib.import_module(m), module)]
    return found


def _names(package: ModuleType) -> list[str]:
    found = pkgutil.iter_modules(getattr(package, "__path__", []))
    return [m.name for m in found if not m.name.startswith("_")]


def _below(root: ModuleType) -> list[str]:
    return [f"{root.__name__}.{name}" for name in _names(root) if name != "cli"]


def _adds(module: ModuleType, package: ModuleType) -> bool:
    namesake = module.__name__.rpartition(".")[2]
    own = getattr(module, "__all__", [namesake] if namesake in _own(module) else [])
    return bool(set(own) - set(getattr(package, "__all__", ())))


def _own(module: ModuleType) -> list[str]:
    """What a module offers: its ``__all__``, or else what it defines."""
    defined = (n for n, o in vars(module).items() if getattr(o, "__module__", "") == module.__name__)
    return list(getattr(module, "__all__", None) or (n for n in defined if not n.startswith("_")))


def documented_before(modules: list[str]) -> dict[str, list[str]]:
    """Module -> its names that an earlier module of the list offers, too."""
    seen: set[int] = set()
    found = {}
    for name in modules:
        module = importlib.import_module(name)
        offered = {n: id(getattr(module, n)) for n in _own(module) if callable(getattr(module, n))}
        found[name] = [n for n, i in offered.items() if i in seen]
        seen |= set(offered.values())
    return found


def api_page() -> str:
    """The page that lists the public modules."""
    listed = "\n".join(f"   {name}" for name in public_modules())
    says = "Everything that is public, by module. Names that begin with an underscore may change without a word."
    table = f"```{{eval-rst}}\n.. autosummary::\n   :toctree: api\n\n{listed}\n```\n"
    return f"# API\n\n{says}\n\n{table}"


def write_pages(app: Any, config: Any) -> None:
    """Write the pages where they changed, so that an unchanged one is not read again."""
    folder = Path(app.srcdir)
    config.autosummary_context["documented_before"] = documented_before(public_modules())
    pages = {f"benchmarks/{name}": text for name, text in benchmark_pages().items()} | {"api.md": api_page()}
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def plain_docstring(lines: list[str]) -> list[str]:
    """A docstring whose references are a list and whose stars and bars, which mean themselves, are escaped.

    Footnotes of several docstrings on one page would share their numbers, and ``x * y`` is no emphasis.
    """
    made, inside = [], ""
    for line in lines:
        found = _FOOTNOTE.match(line)
        if found:
            inside = found[1] + "   "
            line = f"{found[1]}* [{found[2]}] {found[3]}"
        elif inside and line.startswith(inside):
            line = line[1:]
        elif line.strip():
            inside = ""
        made.append(line)
    return _escaped(made)


def _escaped(lines: list[str]) -> list[str]:
    made, code = [], None
    for before, line in zip(["", *lines], lines, strict=False):
        indent = len(line) - len(line.lstrip())
        if code is not None and line.strip() and indent <= code:
            code = None
        if before.rstrip().endswith("::"):
            code = len(before) - len(before.lstrip())
        literal = code is not None or line.lstrip().startswith((">>>", "..."))
        made.append(line if literal else _outside_backticks(line))
    return made


def _outside_backticks(line: str) -> str:
    parts = re.split(r"(``.+?``|`.+?`_?|^\s*\* )", _CITED.sub(r"[\1]", line))
    return "".join(re.sub(r"([*|])", r"\\\1", p) if i % 2 == 0 else p for i, p in enumerate(parts))


def _docstring(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = plain_docstring(lines)


def with_other_pages(start: str, pages: list[str]) -> str:
    """The start page, whose placeholder becomes the pages beside it that it does not name: none is ever lost."""
    listed = set(start.splitlines())
    return start.replace("{{ other pages }}\n", "".join(f"{p}\n" for p in sorted(pages) if p not in listed))


def _read(app: Any, name: str, content: list[str]) -> None:
    content[0] = local_links(content[0])
    if name == "index":
        content[0] = with_other_pages(content[0], [p.stem for p in Path(app.srcdir).glob("*.md") if p.stem != name])


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("config-inited", write_pages)
    app.connect("source-read", _read)
    app.connect("autodoc-process-docstring", _docstring, priority=400)  # before napoleon's 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
