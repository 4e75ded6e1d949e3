"""What the documentation says exists: pages, anchors, commands, modules; and what its Sphinx extension does to text."""

import importlib
import re
import shlex
import sys
from urllib.parse import urlsplit

import pytest
import typer

from tests.test_examples import ROOT
from xai_ext import cli

GENERATED = {"docs/auto_examples", "docs/benchmarks", "docs/_build", "docs/api"}
SOURCES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *(ROOT / "benchmarks").glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
]
PAGES = sorted(
    str(p.relative_to(ROOT)) for p in SOURCES if not any(str(p.relative_to(ROOT)).startswith(g) for g in GENERATED)
)
TITLE = re.compile(r"^#+ (.*)$", re.M)


def prose(text):
    """The text without its blocks of code."""
    return re.sub(r"^(`{3,}|:{3,}).*?^\1", "", text, flags=re.M | re.S)


def anchors(text):
    slugs = (re.sub(r"[^\w\- ]", "", t.replace("`", "").lower()).replace(" ", "-") for t in TITLE.findall(prose(text)))
    return set(slugs)


def broken(page, text):
    """Links of a page that lead nowhere."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        address = urlsplit(link)
        if address.scheme:
            found += [] if address.scheme == "https" and "." in address.netloc else [link]
            continue
        target = (page.parent / address.path).resolve() if address.path else page
        if target.parent.name == "auto_examples":
            target = ROOT / "examples" / (target.name + ".py") if target.name != "index" else ROOT / "examples"
        if not target.exists() or (address.fragment and address.fragment not in anchors(target.read_text())):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    assert broken(ROOT / page, (ROOT / page).read_text()) == []


@pytest.mark.parametrize("link", ["nowhere.md", "choosing.md#no-such-title", "http://a.b", "https://nothing"])
def test_a_broken_link_is_seen(link):
    assert broken(ROOT / "docs" / "index.md", f"[text]({link})") == [link]


def commands(text):
    """Lines that call ``xai-ext``, continuation lines joined."""
    code = "\n".join([*re.findall(r"^```\n(.*?)^```", text, re.M | re.S), *re.findall(r"^    (.*)$", text, re.M)])
    lines = code.replace("\\\n", " ").splitlines()
    return [m[1] for line in lines if (m := re.match(r"\s*(?:\S*/)?xai-ext (.*)$", line))]


def unknown(command):
    """The subcommand, or the options of it, that do not exist."""
    name, *rest = shlex.split(command.replace("...", ""), comments=True)
    known = typer.main.get_command(cli.app).commands
    if name not in known:
        return [] if name.startswith("-") else [name]
    options = {o for p in known[name].params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    return [word for word in rest if word.startswith("--") and word.partition("=")[0] not in options]


@pytest.mark.parametrize("page", [p for p in PAGES if commands((ROOT / p).read_text())])
def test_commands_and_their_options_exist(page):
    assert [c for c in commands((ROOT / page).read_text()) if unknown(c)] == []


@pytest.mark.parametrize("command", ["compar photo.jpg", "compare photo.jpg --buget 5"])
def test_a_command_that_does_not_exist_is_seen(command):
    assert unknown(command)


@pytest.mark.parametrize("page", PAGES)
def test_python_of_a_page_compiles(page):
    for code in re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S):
        compile(code, page, "exec")


@pytest.mark.parametrize("script", sorted(p.name for p in (ROOT / "examples").glob("plot_*.py")))
def test_an_example_has_a_title_and_at_most_40_lines(script):
    lines = (ROOT / "examples" / script).read_text().splitlines()
    assert len(lines) <= 40
    assert lines[0] == '"""'
    assert lines[2] == "=" * len(lines[1])


@pytest.fixture
def pages(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "docs"), *sys.path])
    yield importlib.import_module("pages")
    del sys.modules["pages"]


class TestPages:
    def test_links_to_results_lead_to_their_pages_and_scripts_are_named(self, pages):
        text = "[a](../benchmarks/README.md) [b](../../benchmarks/rise.md#x) [how](../benchmarks/bpt.py) [d](rise.md)"
        expected = "[a](/benchmarks/index.md) [b](/benchmarks/rise.md#x) how: `benchmarks/bpt.py` [d](rise.md)"
        assert pages.local_links(text) == expected

    def test_the_start_page_names_every_page_beside_it(self, pages):
        start = "concepts\n{{ other pages }}\nend"
        assert pages.with_other_pages(start, ["new", "concepts", "bench"]) == "concepts\nbench\nnew\nend"

    def test_footnotes_become_a_list_and_stars_are_escaped(self, pages):
        given = ["As in [1]_, a * b, ``a * b``, |x|.", "", ".. [1] Somebody, a title,", "   AAAI 2024.", "end"]
        expected = [r"As in [1], a \* b, ``a * b``, \|x\|.", "", "* [1] Somebody, a title,", "  AAAI 2024.", "end"]
        assert pages.plain_docstring(given) == expected

    def test_code_of_a_docstring_stays_as_it_is(self, pages):
        lines = [">>> a * b", "So::", "", "    a * b", "", "after"]
        assert pages.plain_docstring(lines) == lines

    def test_the_benchmarks_page_holds_machine_versions_and_every_result(self, pages):
        made = pages.benchmark_pages()
        results = {p.name for p in (ROOT / "benchmarks").glob("*.md")} - {"README.md", "machine.md"}
        assert set(made) == results | {"index.md"}
        assert all(name in made["index.md"] for name in results)
        assert "| torch |" in made["index.md"]
        assert "| processor |" in made["index.md"]
        assert not any("](../docs/" in text for text in made.values())  # pages lie inside of docs/

    def test_every_public_module_is_listed_once_and_every_name_documented_once(self, pages):
        listed = pages.public_modules()
        assert len(set(listed)) == len(listed)
        assert {"xai_ext.attr", "xai_ext.segmentation", "xai_ext.methods.rise", "xai_ext.metrics.detection"} <= set(
            listed
        )
        assert not [name for name in listed if "._" in name]
        assert "xai_ext.attr.rise" not in listed  # `xai_ext.attr` has all that it offers
        assert pages.documented_before(["xai_ext.metrics", "xai_ext.metrics.detection"])[
            "xai_ext.metrics.detection"
        ] == ["MassFraction"]
