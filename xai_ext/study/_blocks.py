"""Which tasks are still to be done, block by block, and what is known of those that are."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_ext.study._maps import MapArchive, compact_rows
from xai_ext.study._plan import Plan, Unit
from xai_ext.study._records import Key
from xai_ext.study._rows import map_rows, part_table, study_rows, unit_rows
from xai_ext.study._worker import Found, PairsTask, UnitTask
from xai_ext.study.store import Store

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Pairs:
    """The comparison of the maps of an image."""

    image: int
    id: str


@dataclass(eq=False)
class Block:
    """An unfinished block: what each image still waits for, and what became of the rest."""

    number: int
    units: list[Unit]
    missing: dict[int, set[str]] = field(default_factory=dict)
    pairs: dict[int, str] = field(default_factory=dict)
    metas: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Nothing is missing."""
        return not self.pairs and not any(self.missing.values())


class Blocks:
    """Opens blocks one after the other, so that a large plan costs no memory.

    Parameters
    ----------
    plan : Plan
    store : Store
    numbers : iterable of int
        Of the blocks to do.
    archive : MapArchive, optional
        Where maps of finished blocks go.
    compact : bool
        Put means of the maps over regions into the parts.
    """

    def __init__(
        self, plan: Plan, store: Store, numbers: Iterable[int], archive: MapArchive | None = None, *,
        compact: bool = False,
    ) -> None:  # fmt: skip
        self.plan, self.store, self._archive, self._compact = plan, store, archive, compact
        self._numbers = iter(list(numbers))
        self._open: dict[int, Block] = {}
        self._remembered = store.remembered()
        lost = (store.recorded(store.failed), store.recorded(store.quarantine))
        self._lost: dict[str, Mapping[str, Any]] = {id: one["meta"] for found in lost for id, one in found.items()}

    def next_tasks(self) -> Iterator[Unit | Pairs] | None:
        """Tasks of the next block; None after the last one."""
        number = next(self._numbers, None)
        return None if number is None else self._opened(number)

    def done(self, task: Unit | Pairs, meta: Mapping[str, Any]) -> list[Pairs]:
        """Note what became of a task; comparisons that can now be made."""
        block = self._open[self.plan.block_of[task.image]]
        block.metas[task.id] = meta
        if isinstance(task, Pairs):
            block.pairs.pop(task.image, None)
            found: list[Pairs] = []
        else:
            block.missing[task.image].discard(task.id)
            found = [] if block.missing[task.image] else self._comparable(block, task.image)
        if block.is_finished:
            self._finish(block)
        return found

    def unit_task(self, unit: Unit) -> UnitTask:
        """With the files it needs."""
        item = self.plan.items[unit.image]
        return UnitTask(unit, item, item.encoded(), item.encoded_mask())

    def pairs_task(self, pairs: Pairs) -> PairsTask:
        """With the maps it needs, read from the journal."""
        block, previous = self._open[self.plan.block_of[pairs.image]], self.plan.previous(pairs.image)
        maps, labels = self._maps(block, pairs.image)
        others = {} if previous is None else self._maps(block, previous)[0]
        about = {u.model: block.metas[u.id] for u in block.units if u.image == pairs.image and u.model in labels
                 and "class_id" in block.metas[u.id]}  # fmt: skip
        return PairsTask(pairs.id, pairs.image, self.plan.items[pairs.image], maps, labels, others, about)

    def _opened(self, number: int) -> Iterator[Unit | Pairs]:
        block = Block(number, list(self.plan.units(number)))
        self._open[number] = block
        for image in self.plan.blocks[number]:
            block.missing[image] = set()
            block.pairs[image] = self.plan.pairs_id(image)
        for unit in block.units:
            meta = self._known(unit.id)
            if meta is None:
                block.missing[unit.image].add(unit.id)
            else:
                block.metas[unit.id] = meta
        for image, id in list(block.pairs.items()):
            meta = self._known(id)
            if meta is not None:
                block.metas[id] = meta
                del block.pairs[image]
        found: list[Unit | Pairs] = [u for u in block.units if u.id in block.missing[u.image]]
        found += [Pairs(i, id) for i, id in block.pairs.items() if self._is_comparable(block, i)]
        if block.is_finished:
            self._finish(block)
        return iter(found)

    def _known(self, id: str) -> Mapping[str, Any] | None:
        if id in self._lost:
            return self._lost[id]
        return self.store.recall_meta(id) if id in self._remembered else None

    def _is_comparable(self, block: Block, image: int) -> bool:
        previous = self.plan.previous(image)
        return not block.missing[image] and (previous is None or not block.missing[previous])

    def _comparable(self, block: Block, image: int) -> list[Pairs]:
        """Of this image and of the one whose other image it is."""
        concerned = [i for i in block.pairs if i == image or self.plan.previous(i) == image]
        return [Pairs(i, block.pairs[i]) for i in concerned if self._is_comparable(block, i)]

    def _maps(self, block: Block, image: int) -> tuple[dict[Key, Any], dict[str, Any]]:
        maps, labels = {}, {}
        dataset = self.plan.items[image].dataset
        for unit in (u for u in block.units if u.image == image):
            found = self.store.recall(unit.id)
            if found is not None and found.values is not None and np.isfinite(found.values).all():
                maps[Key(unit.method, dataset, unit.model, unit.baseline, unit.repeat)] = found.values
                labels[unit.model] = found.labels
        return maps, labels

    def _finish(self, block: Block) -> None:
        """Another runner that was forced upon the folder may have finished it, and cleared the journal."""
        name = self.plan.part_name(block.number)
        if not (self.store.parts / name).exists():
            if self._archive is not None:
                self._archive.write(self._recalled(block.units))
            self.store.write_part(name, self._table(block))
        self.store.forget([u.id for u in block.units] + [self.plan.pairs_id(i) for i in block.missing])
        del self._open[block.number]

    def _recalled(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, Found]]:
        return ((u, found) for u in units if (found := self.store.recall(u.id)) is not None)

    def _table(self, block: Block) -> "pa.Table":
        rows: list[Mapping[str, Any]] = []
        for image in self.plan.blocks[block.number]:
            item = self.plan.items[image]
            own = [u for u in block.units if u.image == image]
            for unit in own:
                rows += unit_rows(item, unit, block.metas[unit.id])
            rows += map_rows(item, compact_rows(self._recalled(own))) if self._compact else ()
            rows += study_rows(item, block.metas[self.plan.pairs_id(image)].get("rows", {}))
        return part_table(rows)
