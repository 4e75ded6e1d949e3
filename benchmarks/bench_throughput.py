"""Two workers against one, and what the scheduler, the journal and the parts cost beside bare calls.

Units of the demo model of one second and more. Wall time includes everything: start-up, models, report of nothing.
On a busy machine read the CPU times.

    python benchmarks/bench_throughput.py --minutes 5
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch

from xai_ext.study.bench import bench
from xai_ext.study.data import read_data

OPTIONS = {"methods": "stratified_lime,rise,bpt_owen", "repeats": 3, "budget": 60, "agreement": ("spearman",),
           "batch_size": 16}  # fmt: skip


def main():
    """Print ratios."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--minutes", type=float, default=5.0)
    asked.add_argument("--engines", default="serial,processes:1,processes:2,ray:2,shards")
    asked = asked.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        seconds, n_units = bare(1)
        images = max(2, round(60 * asked.minutes / (seconds / n_units) / 7))
        data = copies(Path(folder) / "data", images)
        wall, cpu, units, calls = {}, {}, {}, 0.0
        for name in asked.engines.split(","):
            start, before = time.perf_counter(), sum(os.times()[:4])
            run = started(name, data, Path(folder) / name.replace(":", ""))
            wall[name], cpu[name] = time.perf_counter() - start, sum(os.times()[:4]) - before
            costs = run.table().query("metric == 'cost'")
            units[name] = len(costs)
            calls = within(Path(folder) / name.replace(":", ""))
            print(f"{name:12} {units[name]} units, wall {wall[name]:.1f} s, CPU {cpu[name]:.1f} s; "
                  f"in methods and metrics {calls:.1f} s", flush=True)  # fmt: skip
            if name == "serial":
                print(f"  serial: {100 * (wall[name] / calls - 1):.1f} % over its calls, agreement of maps included")
    if "processes:1" in wall and "processes:2" in wall:
        print(f"two workers take {wall['processes:2'] / wall['processes:1']:.2f} of the wall time of one (bound: 0.6)")
    for name in ("ray:2", "shards"):
        if name in wall and "processes:2" in wall:
            print(f"processes:2 / {name} throughput {wall[name] / wall['processes:2']:.2f}")


def started(name, data, out):
    """The run on an engine; "shards" are two runners, each serial, of one folder."""
    engine, _, workers = name.partition(":")
    if engine != "shards":
        return bench(data, out=out, engine=engine, workers=int(workers or 1), **OPTIONS)
    import multiprocessing

    runners = [multiprocessing.get_context("spawn").Process(target=_shard, args=(data, out, i)) for i in (1, 2)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    return bench(data, out=out, **OPTIONS)


def _shard(data, out, i):
    torch.set_num_threads(1)
    bench(data, out=out, shard=f"{i}/2", **OPTIONS)


def within(out):
    """Seconds of all units, as each unit measured them: methods, and metrics with the rest of the unit."""
    from xai_ext.study.bench import BenchRun

    run = BenchRun(out)
    table = run.table()
    return float(table[table.metric == "cost"][["seconds", "metric_seconds"]].to_numpy().sum())


def bare(n_images):
    """Seconds of the units of some photos, called one after the other, and their number."""
    from xai_ext.models import load
    from xai_ext.study import inputs
    from xai_ext.study.methods import choose_methods
    from xai_ext.study.unit import Look, Terms, make_scene, run_unit

    classifier, terms, found = load("efficientnet_lite0"), Terms(60, probabilities=True), []
    for item in read_data(["photos"])[:n_images]:
        scene = make_scene(inputs.decode_image(item.encoded(), item.path), classifier, Look(batch_size=16))
        for method in choose_methods(OPTIONS["methods"]):
            for repeat in range(OPTIONS["repeats"] if method.draws else 1):
                start = time.perf_counter()
                run_unit(method, scene, repeat, terms)
                found.append(time.perf_counter() - start)
    print(f"bare: {len(found)} units, {sum(found) / len(found):.2f} s each", flush=True)
    return sum(found), len(found)


def copies(folder, n):
    """The installed photos again and again, each time another part of them."""
    from PIL import Image

    folder.mkdir()
    items = read_data(["photos"])
    for i in range(n):
        item = items[i % len(items)]
        with Image.open(Path(item.root) / item.path) as image:
            turn = i // len(items)
            image.convert("RGB").crop((3 * turn, 2 * turn, *image.size)).save(folder / f"{i:03}.png")
    return str(folder)


if __name__ == "__main__":
    main()
