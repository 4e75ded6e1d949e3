"""Reports that can be mailed: one HTML file each, which loads nothing and reads without JavaScript."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_ext._html import page
from xai_ext.study.report._page import script_hash

if TYPE_CHECKING:
    from xai_ext.study.compare import CompareResult
    from xai_ext.study.report._bench import Run

__all__ = ["bench_report", "compare_fragment", "compare_report", "write_compare_report"]


def compare_report(result: "CompareResult") -> str:
    """A comparison as one HTML page.

    The same result gives the same page; names come in escaped, and no absolute path goes out.
    """
    from xai_ext.study.report._compare import context

    return _page("compare.html", context(result))


def compare_fragment(result: "CompareResult") -> str:
    """Verdict, table and maps of a comparison, as a notebook shows them below a cell."""
    from xai_ext.study.report._compare import target_context

    every = (result, *result.further)
    return page("compare_fragment.html", targets=[target_context(r, f"-{i}") for i, r in enumerate(every)])


def write_compare_report(result: "CompareResult", path: Path) -> Path:
    """Write the page of a comparison; returns its path."""
    path.write_text(compare_report(result), encoding="utf-8", newline="\n")
    return path


def bench_report(run: "Run") -> str:
    """A run over a data set as one HTML page: answers first, then every table behind them.

    Parameters
    ----------
    run : object
        With ``table()``, ``disagreement()``, ``manifest`` and ``failures``, such as a `BenchRun`; where it also has
        ``maps(image_id)``, the images that disagree most and least are shown.

    Notes
    -----
    Numbers are over the images that all methods finished. Each table shows at most 300 rows and says how many more the
    exported CSV holds.
    """
    from xai_ext.study.report._bench import context

    return _page("bench.html", context(run))


def _page(template: str, values: dict[str, Any]) -> str:
    return page(template, script_hash=script_hash(), **values)
