"""What a run is of, and on what it was computed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from xai_ext._randomness import preserved_generators
from xai_ext.models import Classifier, Preprocess, load
from xai_ext.study._plan import RESULTS_VERSION, BenchConfig, Plan, Running, differing, hash_of, once_per_target
from xai_ext.study._worker import Setup, measured_batches, versions, weights_digest
from xai_ext.study.data import Item, data_digest
from xai_ext.study.methods import choose_methods
from xai_ext.study.store import SCHEMA, OtherConfiguration
from xai_ext.study.targets import n_targets
from xai_ext.study.unit import Look, Terms

_OF_BLOCKS = ("images_per_part", "limit", "save_maps")


@dataclass(frozen=True)
class Identity:
    """Of a run: everything that decides its results (`of`), and on what it is computed (`numerics`)."""

    of: Mapping[str, Any]
    numerics: Mapping[str, Any]

    def manifest(self, before: Mapping[str, Any] | None, running: Running) -> dict[str, Any]:
        """The manifest of a new run, or of the one that is continued; an error if that is another one."""
        if before is None:
            return {"schema": SCHEMA, "config": dict(self.of), "config_hash": hash_of(self.of),
                    "numerics": [dict(self.numerics)]}  # fmt: skip
        keys = differing(before["config"], self.of)
        if keys:
            raise OtherConfiguration(
                f"this folder holds a run with another {', '.join(keys)}; fix: that run's options, or another --out"
            )
        if any(not differing(one, self.numerics) for one in before["numerics"]):
            return dict(before)
        if not running.allow_numerics:
            changed = "; ".join(_changes(before["numerics"][-1], self.numerics))
            raise OtherConfiguration(
                f"this run was computed with other numerics: {changed}; fix: the same again, or --allow-numerics, "
                "and a column tells the rows apart"
            )
        return {**before, "numerics": [*before["numerics"], dict(self.numerics)]}


def identify(
    config: BenchConfig, running: Running, items: Sequence[Item], before: Mapping[str, Any] | None
) -> tuple[Identity, Setup, tuple[tuple[str, int], ...]]:
    """Load the models once: their digests, and the fastest batches where no earlier run fixed them."""
    with preserved_generators():  # networks draw their first weights
        classifiers = {name: load(name).on(running.device) for name in config.models}
    weights = {name: weights_digest(c) for name, c in classifiers.items()}
    known = before["numerics"][0]["batches"] if before is not None else {}
    batches = {n: tuple(known[n]) if n in known else _batches(c, config) for n, c in classifiers.items()}
    methods = tuple((m.name, config.repeats if m.draws else 1) for m in choose_methods(config.methods))
    of = {
        **asdict(config),
        "methods": methods,
        "targets": max(n_targets(config.target, c) for c in classifiers.values()),
        "weights": weights,
        "preprocessing": {name: _described(c) for name, c in classifiers.items()},
        "data": data_digest(items),
        "results_version": RESULTS_VERSION,
    }
    devices = ", ".join(sorted({str(c.device) for c in classifiers.values()}))
    numerics = {"versions": versions(), "threads": running.threads, "batches": batches, "device": devices}
    setup = Setup(
        methods=config.methods,
        look=Look(
            config.target, config.baselines[0], config.segments, config.layer, metric_baseline=config.metric_baseline
        ),
        terms=Terms(config.budget, config.seed, config.metric_steps, probabilities=True, hosts=config.hosts),
        agreement=config.agreement,
        threads=running.threads,
        weights=weights,
        batches=batches,
        device=running.device,
        keep_pixels=config.save_maps != "none",
    )
    return Identity(of, numerics), setup, methods


def _batches(classifier: Classifier, config: BenchConfig) -> tuple[int, str]:
    if config.batch_size is not None:
        return config.batch_size, "contiguous_format"
    return measured_batches(classifier)


def plan_of(
    config: BenchConfig, items: Sequence[Item], methods: tuple[tuple[str, int], ...], of: Mapping[str, Any]
) -> Plan:
    """Units and blocks; ids do not depend on how many images there are."""
    unit_identity = {k: v for k, v in of.items() if k not in ("data", "methods", "models", "baselines", *_OF_BLOCKS)}
    explained = once_per_target(items, of.get("targets", 1))
    return Plan(explained, config.models, config.baselines, methods, hash_of(unit_identity), config.images_per_part)


def _described(classifier: Classifier) -> str:
    if isinstance(classifier.preprocess, Preprocess):
        return repr(classifier.preprocess)
    names = hashlib.sha256(repr(classifier.class_names).encode()).hexdigest()[:16]
    return f"{type(classifier.preprocess).__name__} {names}"


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for key in differing(before, now):
        a, b = before.get(key), now.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += [f"{key} of {k}: {a.get(k)} then, {b.get(k)} now" for k in differing(a, b)]
        else:
            found.append(f"{key}: {a} then, {b} now")
    return found
