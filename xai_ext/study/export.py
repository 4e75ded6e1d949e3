"""A comparison as tables for spreadsheets: every number in full, no cell that a spreadsheet would run."""

from pathlib import Path
from typing import TYPE_CHECKING

from xai_ext._checks import InputError
from xai_ext.study._safe_names import write_csv
from xai_ext.study.compare import CompareResult

if TYPE_CHECKING:
    from pandas import DataFrame

    from xai_ext.study.report._bench import Run


def metrics_table(result: CompareResult) -> "DataFrame":
    """One row per target, method, metric and run; methods without a map have one row that says why.

    Columns: target, method, host, features, status, metric, run, value, n_evals, seconds, note.
    """
    import pandas as pd

    rows = []
    for one in (result, *result.further):
        for s in one.scores:
            seconds = s.model_seconds + s.other_seconds
            labels = {"target": one.scene.target_name, "method": s.name, "host": s.host, "features": s.features,
                      "status": s.status}  # fmt: skip
            tail = {"n_evals": s.cost, "seconds": seconds, "note": s.note}
            drawn: list[dict[str, object]] = [
                {"metric": metric, "run": run, "value": v}
                for metric, values in s.values.items() for run, v in enumerate(values)
            ]  # fmt: skip
            nothing: dict[str, object] = {"metric": None, "run": None, "value": None}
            rows += [{**labels, **one, **tail} for one in drawn or [nothing]]
    return pd.DataFrame(rows).astype({"run": "Int64"})


def agreement_table(result: CompareResult) -> "DataFrame":
    """One row per target and pair of methods: agreement, and the seed floor of each."""
    import pandas as pd

    rows = []
    for one in (result, *result.further):
        found = one.agreement
        for i, a in enumerate(found.names):
            for j in range(i + 1, len(found.names)):
                floors = {"floor_a": found.floor[i], "floor_b": found.floor[j]}
                pair = {"a": a, "b": found.names[j], "measure": found.measure, "agreement": found.matrix[i, j]}
                rows.append({"target": one.scene.target_name, **pair, **floors})
    return pd.DataFrame(rows, columns=["target", "a", "b", "measure", "agreement", "floor_a", "floor_b"])


def write_tables(result: CompareResult, folder: Path) -> list[Path]:
    """Write metrics.csv and agreement.csv."""
    return [
        write_csv(metrics_table(result), folder / "metrics.csv"),
        write_csv(agreement_table(result), folder / "agreement.csv"),
    ]


def write_run_tables(run: "Run", beside: Path) -> list[Path]:
    """Write all metrics of a run, and the agreement of its methods where there are several, beside its report."""
    paths = [write_csv(run.table(), beside.with_name(f"{beside.stem}-metrics.csv"))]
    try:
        matrix = run.disagreement().matrix
    except InputError:
        return paths
    return [*paths, write_csv(matrix, beside.with_name(f"{beside.stem}-agreement.csv"))]
