"""What a run over data sets would do, before it does it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from xai_ext.models import load
from xai_ext.study import inputs
from xai_ext.study._plan import BenchConfig, split_options
from xai_ext.study._progress import duration
from xai_ext.study.compare import seconds_per_row
from xai_ext.study.data import Item, Reading, read_data
from xai_ext.study.methods import choose_methods
from xai_ext.study.targets import n_targets
from xai_ext.study.unit import Look, Scene, make_scene, planned_rows


def dry_run(data: Sequence[str], reading: Reading | None = None, **options: Any) -> str:
    """Units and evaluations of each method, and about how long they take; parameters as in `bench`.

    One image is read, and each model evaluates it a few times.
    """
    config, running = split_options(options)
    items = read_data(data, replace(reading or Reading(), limit=config.limit, seed=config.seed))
    scenes = {name: _scene(name, items[0], config, running.device) for name in config.models}
    targets = max(n_targets(config.target, s.classifier) for s in scenes.values())
    lines, total, seconds = [], 0, 0.0
    for method in choose_methods(config.methods):
        runs = (config.repeats if method.draws else 1) * len(items) * targets * len(config.baselines)
        rows = [planned_rows(method, s.labels, config.budget, config.metric_steps) for s in scenes.values()]
        lines.append(f"{method.name:28} {runs * len(scenes):7} x {max(rows):5}")
        total += runs * sum(rows)
        seconds += runs * sum(n * seconds_per_row(s) for n, s in zip(rows, scenes.values(), strict=True))
    about = duration(seconds / running.workers)
    images = f"{len(items)} images" + (f" x {targets} targets" if targets > 1 else "")
    return "\n".join([*lines, f"{images}; {total} evaluations at most, about {about} of {running.workers} workers"])


def _scene(name: str, item: Item, config: BenchConfig, device: str | None) -> Scene:
    look = Look("top1", config.baselines[0], config.segments, config.layer, config.batch_size)
    return make_scene(inputs.decode_image(item.encoded(), item.path), load(name).on(device), look)
