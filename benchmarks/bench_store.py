"""A finished run of 6,250 parts and 400,000 rows: verified reading, continuing to "nothing to do", SQL.

The parts are written by the store's own functions with made-up numbers; everything that is timed is what users call.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from xai_ext.study._files import sealed
from xai_ext.study._rows import part_table
from xai_ext.study.bench import BenchRun, bench

METHODS = tuple(f"method {i}" for i in range(32))


def main():
    """Print seconds and ratios, medians of three."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--parts", type=int, default=6250)
    asked = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, out = write_images(Path(folder) / "data", 2 * asked.parts), Path(folder) / "run"
        again = {"models": ("_sleepy:sleepy",), "methods": "center", "images_per_part": 2, "batch_size": 4}
        bench(data, out=out, limit=None, shard=f"{asked.parts + 1}/{asked.parts + 1}", **again)  # plan and manifest
        plan = BenchRun(out)._plan
        for number, block in enumerate(plan.blocks):
            (out / "parts" / plan.part_name(number)).write_bytes(sealed(part_table(rows(plan, block))))
        read = median(lambda: BenchRun(out)._arrow)
        nothing = median(lambda: bench(data, out=out, **again))
        run = BenchRun(out)
        _ = run._arrow
        query = "select method, metric, avg(value), count(*) from results group by all"
        sql = median(lambda: run.sql(query))
        print(f"{asked.parts} parts, {len(run._arrow):,} rows: verified read {read:.2f} s")
        print(f"nothing to do: {nothing:.2f} s = {100 * nothing / read:.0f} % of the read (bound: 10)")
        print(f"group by: {sql:.2f} s = {sql / read:.2f} of the read (bound: 2)")


def rows(plan, block):
    """64 in each part."""
    rng = np.random.default_rng(block.start)
    for image in block:
        item = plan.items[image]
        for method in METHODS[: 64 // len(block)]:
            yield {
                "dataset": item.dataset, "image_id": item.image_id, "kind": "unit", "model": "m", "baseline": "zero",
                "method": method, "metric": "srg", "value": rng.normal(), "seed": 0, "status": 0,
                "unit_id": f"{rng.integers(2**63):016x}", "method_status": "ok",
            }  # fmt: skip


def median(call):
    """Of three runs."""
    found = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return sorted(found)[1]


def write_images(folder, n):
    """Tiny ones, of all different."""
    folder.mkdir()
    for i in range(n):
        pixels = np.full((4, 4, 3), 0, np.uint8)
        pixels.flat[:4] = np.frombuffer(i.to_bytes(4, "big"), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:05}.png")
    return str(folder)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
