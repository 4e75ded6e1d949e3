"""Small data sets and runs; as a script, one run in a process of its own: ``python -m tests.study.bench_runs JSON``."""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SMALL = {
    "models": ["tests.study.small_models:tiny"], "methods": "captum.Saliency,stratified_lime,random", "repeats": 2,
    "budget": 20, "segments": "grid:4x4", "metric_steps": 3, "batch_size": 4, "agreement": ["spearman"],
}  # fmt: skip


def write_images(folder, n, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        pixels = np.random.default_rng([seed, i]).integers(0, 200, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def write_white(path):
    Image.new("RGB", (16, 16), "white").save(path)


def rows_of(run):
    """Everything but times, as records; NaN as text, which equals itself."""
    table = run._arrow.drop_columns(["seconds", "metric_seconds"])
    return [{name: repr(value) for name, value in row.items()} for row in table.to_pylist()]


def same(run, other):
    assert rows_of(run) == rows_of(other)


def of_session(session):
    """Processes that the killed one left behind."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


if __name__ == "__main__":
    from xai_ext.study.bench import bench

    asked = json.loads(sys.argv[1])
    sys.exit(bench(asked.pop("data"), **asked).exit_code)
