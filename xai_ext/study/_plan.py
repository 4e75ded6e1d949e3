"""What a bench is asked for, which units that makes, and in which blocks they are stored."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext.study.data import Item

RESULTS_VERSION = 1  # raised whenever numbers change
ENGINES = ("serial", "processes", "ray")
MAPS = ("none", "compact", "full")
_MOST_PARTS = 5000


@dataclass(frozen=True)
class BenchConfig:
    """What decides results; the fields are options of ``xai-ext bench``.

    `batch_size` None is measured once and then kept in the manifest; runs in several folders that are to be read as
    one need a number. `images_per_part` says how many images share a file, `metric_baseline` what deletion and
    insertion put in place (None: what the methods put there). A comma list of targets, or topN, explains each of them.
    """

    models: tuple[str, ...] = ("efficientnet_lite0",)
    baselines: tuple[str, ...] = ("zero",)
    methods: str = "default"
    target: str = "top1"
    budget: int = 500
    repeats: int = 3
    segments: str = "slic:50"
    layer: str | None = None
    hosts: str = "prepared"
    batch_size: int | None = None
    seed: int = 0
    metric_steps: int = 28
    metric_baseline: str | None = None
    limit: int | None = None
    images_per_part: int | None = None
    save_maps: str = "none"
    agreement: tuple[str, ...] = ("spearman", "feature_agreement", "sign_agreement", "ssim")

    def __post_init__(self) -> None:
        check_at_least("budget", self.budget, 4)
        check_at_least("repeats", self.repeats, 1)
        check_choice("save_maps", self.save_maps, MAPS)
        for name in ("limit", "images_per_part", "batch_size"):
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), 1)
        for name in ("models", "baselines"):
            given = getattr(self, name)
            if isinstance(given, str) or not given or len(set(given)) < len(given):
                raise InputError(f"{name} must be different names, got {given!r}")


@dataclass(frozen=True)
class Running:
    """How a bench runs; free to change when it is continued.

    Attributes
    ----------
    engine : {"serial", "processes", "ray"}
    workers : int
    shard : str, optional
        "i/n": every n-th block, from the i-th; the same folder or another one.
    unit_timeout : float, optional
        Seconds after which a worker is taken for hung and killed.
    max_failures : float
        Share of units, at least 10 units, whose failure stops the run.
    retry_failed : bool
        Forget earlier failures and quarantines.
    force : bool
        Work beside another runner on the same folder.
    allow_numerics : bool
        Continue with other versions of packages or another number of threads; a column tells the rows apart.
    threads : int
        Of torch, in each worker.
    device : str, optional
        "cpu", "cuda", ...; None leaves each model where its loader puts it.
    ray_address : str, optional
        Of a cluster; None starts Ray on this machine.
    gpus_per_worker : float
        Share of a GPU that Ray sets aside for each worker.
    progress : {"auto", "bar", "plain", "none"}
    """

    engine: str = "serial"
    workers: int = 1
    shard: str | None = None
    unit_timeout: float | None = None
    max_failures: float = 0.1
    retry_failed: bool = False
    force: bool = False
    allow_numerics: bool = False
    threads: int = 1
    device: str | None = None
    ray_address: str | None = None
    gpus_per_worker: float = 0.0
    progress: str = "none"

    def __post_init__(self) -> None:
        check_choice("engine", self.engine, ENGINES)
        check_choice("progress", self.progress, ("auto", "bar", "plain", "none"))
        check_at_least("workers", self.workers, 1)
        if self.engine == "serial" and (self.workers > 1 or self.unit_timeout is not None):
            raise InputError("engine 'serial' has no workers to share or to kill; fix: --engine processes")
        if not (0 <= self.gpus_per_worker < math.inf):
            raise InputError(f"gpus_per_worker must be a number from 0, got {self.gpus_per_worker!r}")
        if self.gpus_per_worker and self.engine != "ray":
            raise InputError(f"only Ray shares out GPUs, got engine {self.engine!r}; fix: --engine ray, or --device")

    @property
    def shard_of(self) -> tuple[int, int] | None:
        """(i, n), i from 1."""
        if self.shard is None:
            return None
        i, _, n = self.shard.partition("/")
        if not (i.isdigit() and n.isdigit() and 1 <= int(i) <= int(n)):
            raise InputError(f"shard must be i/n with 1 <= i <= n, got {self.shard!r}")
        return int(i), int(n)


def split_options(options: Mapping[str, Any]) -> tuple[BenchConfig, Running]:
    """Options by name into the two; lists become tuples; an unknown name is refused with the nearest one."""
    own = [f.name for f in fields(BenchConfig)]
    running = [f.name for f in fields(Running)]
    for name in options:
        check_choice("option", name, [*own, *running])
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    return (
        BenchConfig(**{k: v for k, v in given.items() if k in own}),
        Running(**{k: v for k, v in given.items() if k in running}),
    )


@dataclass(frozen=True)
class Unit:
    """One method, one repeat, on one image, model and baseline."""

    image: int
    model: str
    baseline: str
    method: str
    repeat: int
    id: str

    @property
    def factors(self) -> dict[str, Any]:
        """For people."""
        return {"model": self.model, "baseline": self.baseline, "method": self.method, "repeat": self.repeat}


@dataclass(frozen=True)
class Plan:
    """Images in blocks, and what is done with each; an image is there once for each target.

    Attributes
    ----------
    methods : tuple of (str, int)
        Name and repeats.
    config_hash : str
        Of everything but image, method and repeat.
    """

    items: tuple[Item, ...]
    models: tuple[str, ...]
    baselines: tuple[str, ...]
    methods: tuple[tuple[str, int], ...]
    config_hash: str
    images_per_part: int | None = None

    @cached_property
    def blocks(self) -> list[range]:
        """Consecutive images of one data set and target; a last single one joins its neighbour."""
        size = self.images_per_part or max(2, -(-len(self.items) // _MOST_PARTS))
        found: list[range] = []
        start = 0
        for stop in range(1, len(self.items) + 1):
            if stop == len(self.items) or self._differ(start, stop):
                found += _cut(start, stop, size)
                start = stop
        return found

    def _differ(self, a: int, b: int) -> bool:
        return (self.items[a].dataset, self.items[a].rank) != (self.items[b].dataset, self.items[b].rank)

    @cached_property
    def block_of(self) -> dict[int, int]:
        """Image -> block."""
        return {image: number for number, block in enumerate(self.blocks) for image in block}

    def part_name(self, block: int) -> str:
        """Number and digest of what the part holds."""
        words = [self.config_hash, self.methods, [self.items[i].identity() for i in self.blocks[block]]]
        return f"b{block:06d}-{_hashed(words)}.parquet"

    def units(self, block: int) -> Iterator[Unit]:
        """Image by image, so that what is finished is finished for all methods."""
        for image in self.blocks[block]:
            for model in self.models:
                for baseline in self.baselines:
                    for method, repeats in self.methods:
                        for repeat in range(repeats):
                            id = self._id(image, model, baseline, method, repeat)
                            yield Unit(image, model, baseline, method, repeat, id)

    @property
    def units_per_image(self) -> int:
        """The same for all."""
        return len(self.models) * len(self.baselines) * sum(repeats for _, repeats in self.methods)

    def pairs_id(self, image: int) -> str:
        """Of the task that compares an image's maps."""
        return "pairs-" + _hashed([self.config_hash, self.methods, self.items[image].identity()])

    def previous(self, image: int) -> int | None:
        """The image before in its block; the last one before the first, none for a single one."""
        block = self.blocks[self.block_of[image]]
        return None if len(block) == 1 else block[(image - block.start - 1) % len(block)]

    def _id(self, image: int, model: str, baseline: str, method: str, repeat: int) -> str:
        return _hashed([self.config_hash, self.items[image].identity(), model, baseline, method, repeat])


def once_per_target(items: Iterable[Item], targets: int) -> tuple[Item, ...]:
    """All images for the first target, then all for the second; so the image before is of the same target."""
    found = tuple(items)
    return tuple(replace(item, rank=rank) for rank in range(1, targets + 1) for item in found)


def _cut(start: int, stop: int, size: int) -> list[range]:
    edges = list(range(start, stop, size))
    if len(edges) > 1 and stop - edges[-1] == 1:
        edges.pop()
    return [range(a, b) for a, b in zip(edges, [*edges[1:], stop], strict=True)]


def _hashed(words: Sequence[Any]) -> str:
    text = json.dumps(words, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Keys whose values differ, as JSON has them."""
    a, b = (json.loads(json.dumps(m, sort_keys=True)) for m in (before, now))
    return sorted(k for k in {*a, *b} if a.get(k) != b.get(k))


def hash_of(identity: Mapping[str, Any]) -> str:
    """16 hexadecimal digits."""
    return _hashed([dict(identity)])
