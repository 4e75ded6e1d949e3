"""The options of a comparison: from Python, from a file, from the command line; one name each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from xai_ext._checks import InputError, InputTypeError, check_at_least, check_choice
from xai_ext._io import load_config
from xai_ext.study import inputs
from xai_ext.study._plan import RESULTS_VERSION, BenchConfig, Running, hash_of

HOSTS = ("prepared", "as-is")
PROGRESS = ("auto", "bar", "plain", "none")
QUICK = {"budget": 200, "repeats": 2, "metric_steps": 14}
_TEXTS = ("image", "model", "methods", "target", "baseline", "metric_baseline", "segments", "mask", "box", "layer",
          "device")  # fmt: skip
_PER_UNIT = ("image", "methods", "repeats", "settings", "mask", "box")  # left out of the hash


@dataclass(frozen=True)
class Config:
    """What a comparison was asked for; the fields are the options of ``xai-ext compare``.

    Attributes
    ----------
    image, model : str
    methods : str
        See `xai_ext.study.methods.choose_methods`.
    target : str
        Comma list of topN (N <= 10), indices and class names, or none.
    budget : int
        Cost of one run of a method, see `xai_ext.study.Task`.
    repeats : int
        Runs of each method that draws, each with a seed of its own and the whole budget.
    baseline, metric_baseline : str
        What takes the place of what is absent, for methods and for deletion and insertion (None: the same).
    metric_steps : int
        Of the curves.
    segments : str
    mask : str, optional
        Image of the photo's size, above 0 on the object.
    box : str, optional
        ``x0,y0,x1,y1;...`` in pixels of the photo, half open, instead of a mask.
    layer : str, optional
    hosts : {"prepared", "as-is"}
        Do Captum's activation hooks get a copy of the network in which they see every activation?
    seed : int
    batch_size, threads : int, optional
        None: measured. Fixed ones make numbers bit-reproducible on one machine.
    device : str, optional
        "cpu", "cuda", ...; None leaves the model where its loader puts it.
    workers : int
        Processes that share the runs, with one thread each where `threads` is None; 0: all runs in this process.
        Results do not depend on it.
    settings : dict
        Method -> settings for all its runs, as a file's ``[methods."rise"]``.
    """

    image: str = inputs.BUILT_IN
    model: str = "efficientnet_lite0"
    methods: str = "default"
    target: str = "top1"
    budget: int = 500
    repeats: int = 3
    baseline: str = "zero"
    metric_baseline: str | None = None
    metric_steps: int = 28
    segments: str = "slic:50"
    mask: str | None = None
    box: str | None = None
    layer: str | None = None
    hosts: str = "prepared"
    seed: int = 0
    batch_size: int | None = None
    threads: int | None = None
    device: str | None = None
    workers: int = 0
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_at_least("budget", self.budget, 4)
        check_at_least("repeats", self.repeats, 1)
        check_at_least("metric_steps", self.metric_steps, 2)
        check_at_least("seed", self.seed, 0)
        check_at_least("workers", self.workers, 0)
        check_choice("hosts", self.hosts, HOSTS)
        for name in ("batch_size", "threads"):
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), 1)
        for name in _TEXTS:
            if not isinstance(getattr(self, name) or "", str):
                raise InputTypeError(f'{name} must be text, got {getattr(self, name)!r}; fix: {name} = "..."')
        if not isinstance(self.settings, dict) or not all(isinstance(v, dict) for v in self.settings.values()):
            raise InputTypeError(f"settings must be a table per method, got {self.settings!r}")
        if self.mask is not None and self.box is not None:
            raise InputError("the truth is either a mask or boxes, got both; fix: leave out mask or box")

    def recorded(self) -> dict[str, Any]:
        """All fields but `workers`, on which no number depends."""
        return {k: v for k, v in asdict(self).items() if k != "workers"}

    def digest(self, weights_sha256: str) -> str:
        """16 hexadecimal digits of all that decides numbers but the image, its truth, the methods and the repeats."""
        kept = {k: v for k, v in self.recorded().items() if k not in _PER_UNIT}
        return hash_of({**kept, "weights": weights_sha256, "results_version": RESULTS_VERSION})


def read_config(path: Path, *, allow_import: bool = False) -> dict[str, Any]:
    """The options of a TOML or JSON file with the tables ``[compare]`` and ``[methods."NAME"]``.

    Parameters
    ----------
    path : Path
    allow_import : bool
        May the file name code to run (``module:callable``)?
    """
    known = [f.name for f in fields(Config) if f.name != "settings"]
    options, settings = _tables(path, "compare", known, allow_import=allow_import)
    return options | ({"settings": settings} if settings else {})


def read_bench_config(path: Path, *, allow_import: bool = False) -> dict[str, Any]:
    """The options of `xai_ext.study.bench.bench` in the table ``[bench]`` of a TOML or JSON file, ``data`` included.

    Parameters
    ----------
    path, allow_import
        As in `read_config`.
    """
    known = ["data", *(f.name for f in (*fields(BenchConfig), *fields(Running)))]
    options, settings = _tables(path, "bench", known, allow_import=allow_import)
    if settings:
        raise InputError(
            f'{path.name}: bench knows settings by a method\'s name alone; fix: methods = "rise:KEY=VALUE;KEY=VALUE"'
        )
    return {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}


def _tables(
    path: Path, command: str, known: Sequence[str], *, allow_import: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The table of a command, and that of the methods' settings."""
    content = load_config(path, allow_import=True)  # which options name code is decided below
    for table in content:
        check_choice(f"a table of {path.name}", table, ("compare", "bench", "methods"))
    options, settings = content.get(command, {}), content.get("methods", {})
    if not isinstance(options, dict) or not isinstance(settings, dict):
        raise InputError(f'{path.name} must hold tables: [{command}], [methods."rise"]')
    for key in options:
        check_choice(f"an option in {path.name}", key, known)
    if not allow_import:
        _refuse_code(path.name, options)
    return options, settings


def as_toml(config: Config) -> str:
    """The same, as a file that `read_config` reads."""
    lines = [_table("compare", {k: v for k, v in asdict(config).items() if k != "settings"})]
    for name, settings in config.settings.items():
        lines += ["", f"[methods.{_toml(name)}]", *(f"{key} = {_toml(value)}" for key, value in settings.items())]
    return "\n".join(lines)


def bench_toml(data: Sequence[str], options: Mapping[str, Any]) -> str:
    """Data sets and options of a run, as a file that `read_bench_config` reads."""
    return _table("bench", {"data": list(data), **options})


def _table(name: str, values: Mapping[str, Any]) -> str:
    return "\n".join([f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in values.items() if value is not None)])


def _refuse_code(name: str, options: Mapping[str, Any]) -> None:
    """A mailed file must not run code unasked."""
    words = [w.strip() for w in f"{options.get('methods', '')},{options.get('segments', '')}".split(",")]
    words = [w for w in words if ":" in w and "=" not in w]
    words = [w for w in words if w.partition(":")[0] not in ("slic", "grid")]
    models = [options.get("model", ""), *listed(options.get("models", ()))]
    words += [m for m in map(str, models) if ":" in m and m.partition(":")[0] not in ("torchvision", "timm", "hf")]
    if any(w for w in words if Path(w).suffix not in (".png", ".npy")):
        raise InputError(f"{name} names code to run ({', '.join(words)}); fix: --allow-import if you trust the file")


def listed(value: Any) -> list[Any]:
    """A list, or a comma list."""
    return [v.strip() for v in value.split(",") if v.strip()] if isinstance(value, str) else list(value)


def _toml(value: Any) -> str:
    """Strings, numbers, truth values and lists; JSON's notation of them is TOML's."""
    return json.dumps(value, ensure_ascii=False)
