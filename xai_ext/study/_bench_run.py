"""Reading a run: tables, SQL, disagreement, report."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_ext._checks import InputError
from xai_ext.study._identity import plan_of
from xai_ext.study._lock import is_alive
from xai_ext.study._map_scores import CURVES, LOCALISATION
from xai_ext.study._maps import COMPACT, Kept, MapArchive, of_compact_rows
from xai_ext.study._pairs import KS
from xai_ext.study._plan import BenchConfig, Plan
from xai_ext.study._report import DisagreementReport
from xai_ext.study.disagreement import DisagreementStudy
from xai_ext.study.store import Store

if TYPE_CHECKING:
    import pyarrow as pa
    from pandas import DataFrame


_OF_MAPS = ["values", "content"]
_SCORES = (*CURVES, *(name.partition("@")[0] for name in LOCALISATION), "n_evals")


class BenchRun:
    """A run, finished or not; of one that is not, images that are complete for all methods are read.

    Parameters
    ----------
    *folders : path
        One, or several runs on the same data that are read as one, such as shards.
    target_rank : int
        Which of the run's targets is read, from 1; `sql` sees all of them.
    exit_code : int
        Of `bench`.
    message : str
        Why it stopped early.
    """

    def __init__(self, *folders: str | Path, target_rank: int = 1, exit_code: int = 0, message: str = "") -> None:
        self.target_rank, self.exit_code, self.message = target_rank, exit_code, message
        self._stores = [Store(folder) for folder in folders]
        manifests = [_manifest(store) for store in self._stores]
        if len({m["config"]["data"] for m in manifests}) != 1:
            raise InputError("runs are read as one when they are of the same data, these are of different data")
        self.manifest: dict[str, Any] = manifests[0]
        if not 1 <= target_rank <= self.n_targets:
            raise InputError(f"target_rank must lie between 1 and {self.n_targets}, got {target_rank}")
        if self.n_targets > 1:
            self.manifest = {**self.manifest, "explained": f"target {target_rank} of {self.n_targets} of each image"}
        self._hashes = [m["config_hash"] for m in manifests]

    @property
    def folder(self) -> Path:
        """The first one."""
        return self._stores[0].folder

    @property
    def n_targets(self) -> int:
        """Of each image."""
        return int(self.manifest["config"].get("targets", 1))

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Units that failed or were quarantined, with the reason."""
        found = [(where, id, one) for store in self._stores for where in ("failed", "quarantine")
                 for id, one in store.recorded(getattr(store, where)).items()]  # fmt: skip
        return [{"unit_id": id, "where": where, "note": one["meta"]["note"],
                 **{k: v for k, v in one.items() if k != "meta"}} for where, id, one in found]  # fmt: skip

    def table(self) -> "DataFrame":
        """One row per metric of a map: the long table that `xai_ext.study.stats` reads.

        Columns: dataset, model, baseline, method, seed (the repeat), image_id, class_id, metric, value, status (0: a
        finite value), n_evals (cost of the method in rows, a backward row counts as two), n_forward, n_backward,
        seconds (of the method), metric_seconds, features, host, method_status, note, target_rank, unit_id, numerics.
        A metric ``NAME@prob`` follows the softmax of the scores.
        """
        other = ["kind", "method_b", "view", "relation", "entry", "n_features", "same", "seed_b", *_OF_MAPS]
        return self._units.drop(columns=other)

    def sql(self, query: str) -> "DataFrame":
        """DuckDB's answer; the table is called ``results`` and holds the rows of the agreement of maps, too."""
        try:
            import duckdb
        except Exception as error:
            raise InputError(f'SQL needs DuckDB ({error}); fix: pip install "xai-ext[study]"') from error
        with duckdb.connect() as connection:
            connection.register("results", self._arrow)
            try:
                return connection.execute(query).df()
            except duckdb.Error as error:
                raise InputError(f"the query failed: {error}") from error

    def disagreement(self, **settings: Any) -> DisagreementReport:
        """The report of the study of disagreement, from what is complete; settings of `DisagreementStudy`."""
        import pandas as pd

        table = self._frame
        renamed = self._units.assign(kind="score", metric=self._units["metric"].replace("cost", "n_evals"))
        renamed = renamed[renamed["metric"].str.partition("@")[0].isin(_SCORES)].drop(columns=_OF_MAPS)
        agreed = table[~table["kind"].isin(["unit", *COMPACT])].drop(columns=_OF_MAPS)
        rows = pd.concat([agreed, renamed], ignore_index=True)
        given: Mapping[str, Any] = {"metrics": tuple(self.manifest["config"]["agreement"]), "ks": KS} | settings
        return DisagreementStudy.from_rows(rows, **given).report()

    def status(self) -> dict[str, Any]:
        """Blocks, images and units that are done, failures, and whether somebody works on it.

        An image counts once for each target.
        """
        plan = self._plan
        names = set().union(*(store.part_names() for store in self._stores))
        done = [number for number in range(len(plan.blocks)) if plan.part_name(number) in names]
        images = sum(len(plan.blocks[number]) for number in done)
        started = sum(not id.startswith("pairs") for store in self._stores for id in store.remembered())
        where = [one["where"] for one in self.failures]
        return {
            "blocks": len(plan.blocks), "blocks_done": len(done),
            "images": len(plan.items), "images_done": images,
            "units": plan.units_per_image * len(plan.items), "units_done": plan.units_per_image * images + started,
            "failed": where.count("failed"), "quarantined": where.count("quarantine"),
            "running": any(is_alive(lock) for store in self._stores for lock in store.folder.glob("lock*")),
        }  # fmt: skip

    def verify(self) -> list[str]:
        """Read everything; names of damaged parts, which are then in ``corrupt/`` and planned again."""
        self.__dict__.pop("_arrow", None)
        return [name for store in self._stores for name in store.read_parts()[1]]

    def maps(self, image_id: str) -> Kept | None:
        """What the first model saw of an image, (H, W, 3), and each method's map of its first baseline and repeat.

        None where the run kept no maps; see ``save_maps``. Compact ones are means over the shared regions: exact for
        methods that explain those.
        """
        if self.manifest["config"]["save_maps"] == "compact":
            return self._compact_maps(image_id)
        plan = self._plan
        wanted = (image_id, self.target_rank)
        image = next((i for i, item in enumerate(plan.items) if (item.image_id, item.rank) == wanted), None)
        if image is None or self.manifest["config"]["save_maps"] != "full":
            return None
        first = {"model": plan.models[0], "baseline": plan.baselines[0], "repeat": 0}
        units = [u for u in plan.units(plan.block_of[image])
                 if u.image == image and {k: getattr(u, k) for k in first} == first]  # fmt: skip
        for store in self._stores:
            found = MapArchive(store.folder, plan).read(units)
            if found is not None:
                return found
        return None

    def _compact_maps(self, image_id: str) -> Kept | None:
        import pyarrow as pa
        import pyarrow.compute as pc

        table, plan = self._own, self._plan
        first = {"image_id": image_id, "model": plan.models[0]}
        for column, value in first.items():
            table = table.filter(pc.equal(table[column], value))
        rows = table.filter(pc.is_in(table["kind"], pa.array(COMPACT))).to_pylist()
        chosen = (plan.baselines[0], 0)
        return of_compact_rows(r for r in rows if r["kind"] != "map" or (r["baseline"], r["seed"]) == chosen)

    def report(self, path: str | Path) -> Path:
        """Write one HTML file that needs nothing else; beside it NAME-metrics.csv and NAME-agreement.csv."""
        from xai_ext.study.export import write_run_tables
        from xai_ext.study.report import bench_report

        target = Path(path)
        target.write_text(bench_report(self), encoding="utf-8", newline="\n")
        write_run_tables(self, target)
        return target

    @cached_property
    def _arrow(self) -> "pa.Table":
        """Parts of one name are of one configuration, so that one of them is enough."""
        import pyarrow as pa

        from xai_ext.study._rows import schema

        tables, seen = [], set[str]()
        for store in self._stores:
            names = sorted(store.part_names() - seen)
            found, damaged = store.read_parts(names)
            seen |= set(names) - set(damaged)
            tables += found
        parts = [t for _, t in sorted(tables, key=lambda one: one[0])]
        return pa.concat_tables([schema().empty_table(), *parts], promote_options="default")  # older parts lack columns

    @cached_property
    def _frame(self) -> "DataFrame":
        return self._own.to_pandas()

    @cached_property
    def _units(self) -> "DataFrame":
        import pyarrow.compute as pc

        return self._own.filter(pc.equal(self._own["kind"], "unit")).to_pandas()

    @property
    def _own(self) -> "pa.Table":
        """The rows of the target that is read."""
        import pyarrow.compute as pc

        return self._arrow.filter(pc.equal(pc.fill_null(self._arrow["target_rank"], 1), self.target_rank))

    @cached_property
    def _plan(self) -> Plan:
        config = self.manifest["config"]
        names = set(BenchConfig.__dataclass_fields__) - {"methods"}
        options: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k in names}
        methods = tuple((str(name), int(n)) for name, n in config["methods"])
        return plan_of(BenchConfig(**options), self._stores[0].plan_items(), methods, config)


def _manifest(store: Store) -> dict[str, Any]:
    found = store.manifest()
    if found is None:
        raise InputError(f"{store.folder} holds no run")
    return found
