"""What a run over data sets would do, before it does it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from xai_ext._randomness import preserved_generators
from xai_ext.models import load
from xai_ext.study import inputs
from xai_ext.study._plan import BenchConfig, Running, split_options
from xai_ext.study._progress import duration
from xai_ext.study.compare import seconds_per_row
from xai_ext.study.data import Item, Reading, read_data
from xai_ext.study.methods import choose_methods
from xai_ext.study.targets import n_targets
from xai_ext.study.threads import fastest_threads
from xai_ext.study.unit import Look, Scene, make_scene, planned_rows


def dry_run(data: Sequence[str], reading: Reading | None = None, **options: Any) -> str:
    """Units and evaluations of each method, and about how long they take; parameters as in `bench`.

    One image is read, and each model evaluates it a few times.
    """
    config, running = split_options(options)
    items = read_data(data, replace(reading or Reading(), limit=config.limit, seed=config.seed))
    measured = [_measured(name, items[0], config, running) for name in config.models]
    targets = max(n_targets(config.target, scene.classifier) for scene, _ in measured)
    lines, total, seconds = [], 0, 0.0
    for method in choose_methods(config.methods):
        runs = (config.repeats if method.draws else 1) * len(items) * targets * len(config.baselines)
        rows = [planned_rows(method, scene.labels, config.budget, config.metric_steps) for scene, _ in measured]
        lines.append(f"{method.name:28} {runs * len(measured):7} x {max(rows):5}")
        total += runs * sum(rows)
        seconds += runs * sum(n * each for n, (_, each) in zip(rows, measured, strict=True))
    images = f"{len(items)} images" + (f" x {targets} targets" if targets > 1 else "")
    by = "one worker" if running.workers == 1 else f"{running.workers} workers"
    return "\n".join(
        [*lines, f"{images}; {total} evaluations at most, about {duration(seconds / running.workers)} of {by}"]
    )


def _measured(name: str, item: Item, config: BenchConfig, running: Running) -> tuple[Scene, float]:
    """The first image as a model sees it, and seconds per evaluation."""
    with preserved_generators():  # networks draw their first weights
        classifier = load(name).on(running.device)
    photo = inputs.decode_image(item.encoded(), item.path)
    look = Look("top1", config.baselines[0], config.segments, config.layer, config.batch_size)
    with fastest_threads(classifier.module, classifier.input_of(photo), running.threads):
        scene = make_scene(photo, classifier, look)
        return scene, seconds_per_row(scene)
