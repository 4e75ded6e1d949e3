"""Runs in which a worker or the runner is killed at a random moment: is every unit done once, with the same bytes?

Each run is 200 units on two workers. One kill, SIGKILL, at a random moment; a killed runner is started again. Compared
with an undisturbed serial run: all columns but the seconds.

    python benchmarks/bench_kills.py --runs 50 --log kills.jsonl     # continues where the log ends
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

OPTIONS = {
    "models": ["_sleepy:sleepy"], "methods": "captum.Saliency,center,random,random_segments", "repeats": 9,
    "budget": 20, "segments": "grid:4x4", "metric_steps": 3, "batch_size": 4, "agreement": ["spearman"],
}  # fmt: skip
KINDS = [("processes", "worker"), ("processes", "runner"), ("ray", "worker"), ("ray", "runner")]


def main():
    """Print a line per run and the sum."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--runs", type=int, default=50)
    asked.add_argument("--log", type=Path, default=Path("bench_kills.jsonl"))
    asked = asked.parse_args()
    done = [json.loads(line) for line in asked.log.read_text().splitlines()] if asked.log.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = write_images(root / "data")
        status = run_child(data, root / "whole", {})[1]
        assert status == 0, status
        expected = rows_of(root / "whole")
        for i in range(len(done), asked.runs):
            done.append(one_run(i, data, root / f"run{i}", expected))
            with asked.log.open("a") as log:
                log.write(json.dumps(done[-1]) + "\n")
            print(done[-1], flush=True)
            shutil.rmtree(root / f"run{i}")
    for engine, victim in KINDS:
        own = [d for d in done if (d["engine"], d["victim"]) == (engine, victim)]
        print(f"{engine:10} {victim:7} killed in {sum(d['killed'] for d in own):3} of {len(own):3} runs: "
              f"same bytes {sum(d['same'] for d in own)}, every unit once {sum(d['once'] for d in own)}")  # fmt: skip


def one_run(i, data, out, expected):
    """A run, its kill, and, where the runner died, another start."""
    engine, victim = KINDS[i % len(KINDS)]
    rng, start = random.Random(i), time.monotonic()
    options = {"engine": engine, "workers": 2}
    killed, status = run_child(data, out, options, victim, rng)
    starts = 1
    while status != 0 and starts < 5:
        _, status = run_child(data, out, options)
        starts += 1
    rows = rows_of(out)
    costs = [row["unit_id"] for row in rows if row["metric"] == "'cost'"]
    return {
        "run": i, "engine": engine, "victim": victim, "killed": killed, "starts": starts, "exit": status,
        "same": rows == expected, "once": len(costs) == len(set(costs)) == 200,
        "seconds": round(time.monotonic() - start, 1),
    }  # fmt: skip


def run_child(data, out, options, victim=None, rng=None):
    """Was somebody killed, and the exit code."""
    reader, writer = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_child, args=(data, out, options, victim, rng, writer))
    child.start()
    writer.close()
    killed = False
    if victim == "runner":
        while child.is_alive() and len(list((out / "open").glob("*.npz"))) + len(list((out / "parts").glob("b*"))) < 1:
            time.sleep(0.01)
        time.sleep(rng.random() * 3)
        killed = child.is_alive()
        child.kill()
    child.join()
    if victim == "worker":
        with contextlib.suppress(EOFError):  # the run was over before
            killed = reader.recv()
    return killed, child.exitcode


def _child(data, out, options, victim, rng, writer):
    os.setpgid(0, 0)
    from xai_ext.study import bench as module

    engines, make = [], module._engine
    module._engine = lambda *given: engines.append(make(*given)) or engines[-1]

    def kill():
        while not engines or not engines[-1].pids:
            time.sleep(0.01)
        time.sleep(rng.random() * 3)
        pids = list(engines[-1].pids.values())
        if pids:
            os.kill(rng.choice(pids), signal.SIGKILL)
        writer.send(bool(pids))

    if victim == "worker":
        threading.Thread(target=kill, daemon=True).start()
    run = module.bench(str(data), out=out, **OPTIONS | options)
    os._exit(run.exit_code)


def rows_of(out):
    """Everything but times, as text, so that NaN equals itself."""
    from xai_ext.study.bench import BenchRun

    table = BenchRun(out)._arrow.drop_columns(["seconds", "metric_seconds"])
    return [{name: repr(value) for name, value in row.items()} for row in table.to_pylist()]


def write_images(folder):
    """Ten."""
    folder.mkdir()
    for i in range(10):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (16, 16, 3), np.uint8)).save(folder / f"{i}.png")
    return folder


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    import torch

    from xai_ext.study import bench  # noqa: F401 - the runners are forked with it

    torch.set_num_threads(1)
    main()
