"""The images of a study: folders, tables, and photos that are installed anyway."""

import csv
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from xai_ext._checks import InputError, check_choice
from xai_ext._types import BoolArray

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
COLUMNS = ("path", "image_id", "target", "mask", "boxes", "dataset")
SAMPLES: Mapping[str, tuple[str, ...]] = {  # what scikit-image and scikit-learn install
    "photos": (
        "skimage/data/astronaut.png", "skimage/data/camera.png", "skimage/data/chelsea.png",
        "skimage/data/coffee.png", "skimage/data/motorcycle_left.png", "skimage/data/rocket.jpg",
        "sklearn/datasets/images/china.jpg", "sklearn/datasets/images/flower.jpg",
    ),
    "instruments": (
        "skimage/data/cell.png", "skimage/data/coins.png", "skimage/data/hubble_deep_field.jpg",
        "skimage/data/ihc.png", "skimage/data/moon.png", "skimage/data/retina.jpg",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One image of a data set.

    Attributes
    ----------
    root, path, mask : str
        Files are ``root / path``; only what is below the root is ever written down. No mask: "".
    sha256, mask_sha256 : str
        Of the files' bytes.
    size, mtime_ns : int
        Of the image's file: as long as both stay, its bytes are not read again.
    target : str
        Index or name of its class, or "".
    boxes : str
        ``x0,y0,x1,y1;...`` in pixels of the file, half open, or "".
    rank : int
        Which of a run's targets is explained, from 1; each makes an item of its own.
    """

    dataset: str
    image_id: str
    root: str
    path: str
    target: str = ""
    mask: str = ""
    boxes: str = ""
    sha256: str = ""
    mask_sha256: str = ""
    size: int = -1
    mtime_ns: int = -1
    rank: int = 1

    def encoded(self) -> bytes:
        """The bytes of the image's file."""
        return _bytes(Path(self.root) / self.path)

    def encoded_mask(self) -> bytes | None:
        """The bytes of the mask's file."""
        return _bytes(Path(self.root) / self.mask) if self.mask else None

    def identity(self) -> tuple[str, ...]:
        """What of it decides results."""
        further = () if self.rank == 1 else (f"target {self.rank}",)
        return (self.dataset, self.image_id, self.sha256, self.target, self.mask_sha256, self.boxes, *further)


@dataclass(frozen=True)
class Reading:
    """How sources are read.

    Attributes
    ----------
    columns : mapping
        Name as in `COLUMNS` -> column of the table.
    limit : int, optional
        So many images of each data set, drawn with `seed`.
    allow_outside : bool
        Let a table name files that are not below its folder.
    """

    columns: Mapping[str, str] | None = None
    limit: int | None = None
    seed: int = 0
    allow_outside: bool = False


def read_data(sources: Iterable[str], reading: Reading | None = None, known: Iterable[Item] = ()) -> list[Item]:
    """The images of all sources, by data set and name.

    Parameters
    ----------
    sources : iterable of str
        A folder, flat or of one folder per class; a CSV file with a column ``path`` and optionally ``image_id``,
        ``target``, ``mask``, ``boxes``, ``dataset``; "photos" or "instruments" for installed ones. ``NAME=SOURCE``
        names the data set.
    reading : Reading, optional
    known : iterable of Item
        Read before: files of the same size and time keep their digests.
    """
    reading = reading or Reading()
    found = [item for source in sources for item in _limited(list(_items(source, reading)), reading)]
    found.sort(key=lambda item: (item.dataset, item.image_id))
    for a, b in pairwise(found):
        if (a.dataset, a.image_id) == (b.dataset, b.image_id):
            raise InputError(f"two images are called {a.image_id!r} in the data set {a.dataset!r}; fix: name the "
                             "data sets with NAME=PATH, or give image_id")  # fmt: skip
    if not found:
        raise InputError(f"there is no image in {', '.join(sources)}; known endings: {', '.join(SUFFIXES)}")
    before = {(i.dataset, i.image_id): i for i in known}
    return [_digested(item, before.get((item.dataset, item.image_id))) for item in found]


def data_digest(items: Iterable[Item]) -> str:
    """SHA-256 of everything that decides results."""
    return hashlib.sha256(json.dumps([i.identity() for i in items], ensure_ascii=False).encode()).hexdigest()


def drawn_boxes(boxes: str, size: tuple[int, int]) -> BoolArray:
    """The union of ``x0,y0,x1,y1;...`` as a mask (H, W) of an image of `size` (W, H)."""
    mask = Image.new("1", size)
    for box in filter(None, (b.strip() for b in boxes.split(";"))):
        try:
            x0, y0, x1, y1 = (round(float(v)) for v in box.split(","))
        except ValueError as error:
            raise InputError(f"boxes must be x0,y0,x1,y1;..., got {boxes!r}") from error
        if not (0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]):
            raise InputError(f"the box {box} does not lie in the image of {size[0]}x{size[1]}")
        ImageDraw.Draw(mask).rectangle((x0, y0, x1 - 1, y1 - 1), fill=1)
    return np.asarray(mask)


def _items(source: str, reading: Reading) -> Iterator[Item]:
    name, named, rest = source.partition("=")
    path = Path(rest if named else source)
    if str(path) in SAMPLES and not path.exists():
        yield from _samples(str(path), name)
    elif path.is_dir():
        yield from _folder(path, name if named else path.resolve().name)
    elif path.is_file():
        yield from _table(path, name if named else path.stem, reading)
    else:
        raise InputError(f"there is no folder or table {path}; installed: {', '.join(SAMPLES)}")


def _samples(which: str, dataset: str) -> Iterator[Item]:
    for entry in SAMPLES[which]:
        package, _, rest = entry.partition("/")
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise InputError(f"{which} needs the package {package}")
        yield Item(dataset, Path(rest).stem, str(Path(found.origin).parent), rest)


def _folder(folder: Path, dataset: str) -> Iterator[Item]:
    """In folders of classes the class is the target."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            relative = path.relative_to(folder)
            yield Item(
                dataset, relative.as_posix(), str(folder), relative.as_posix(),
                target=relative.parts[0] if len(relative.parts) > 1 else "",
            )  # fmt: skip


def _table(path: Path, dataset: str, reading: Reading) -> Iterator[Item]:
    renamed = {check_choice("columns", k, COLUMNS): v for k, v in (reading.columns or {}).items()}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        column = {name: renamed.get(name, name) for name in COLUMNS}
        missing = {column["path"], *renamed.values()} - set(rows.fieldnames or ())
        if missing:
            raise InputError(f"the table {path.name} has no column {', '.join(sorted(missing))}; it has "
                             f"{', '.join(rows.fieldnames or ())}; fix: --columns path=COLUMN")  # fmt: skip
        for row in rows:
            given = {name: (row.get(own) or "").strip() for name, own in column.items()}
            if given["mask"] and given["boxes"]:
                raise InputError(f"{given['path']} has a mask and boxes; fix: one of them")
            for name in ("path", "mask"):
                _check_inside(given[name], path.parent, reading.allow_outside)
            yield Item(
                given["dataset"] or dataset, given["image_id"] or given["path"], str(path.parent), given["path"],
                target=given["target"], mask=given["mask"], boxes=given["boxes"],
            )  # fmt: skip


def _check_inside(path: str, folder: Path, allowed: bool) -> None:
    if path and not allowed and not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{path} does not lie below the table's folder; fix: --allow-outside")


def _limited(items: list[Item], reading: Reading) -> list[Item]:
    """A subset of each data set that does not depend on the order in which files are found."""
    if reading.limit is None:
        return items
    found: list[Item] = []
    for dataset in sorted({i.dataset for i in items}):
        own = sorted((i for i in items if i.dataset == dataset), key=lambda i: i.image_id)
        drawn = np.random.default_rng(reading.seed).permutation(len(own))[: reading.limit]
        found += [own[i] for i in drawn]
    return found


def _digested(item: Item, before: Item | None) -> Item:
    path = Path(item.root) / item.path
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"there is no file {item.path} of the data set {item.dataset!r}") from error
    mask = item.encoded_mask()
    unchanged = before is not None and (before.path, before.size, before.mtime_ns) == (
        item.path, stat.st_size, stat.st_mtime_ns,
    )  # fmt: skip
    digest = before.sha256 if before is not None and unchanged else hashlib.sha256(item.encoded()).hexdigest()
    return replace(
        item, sha256=digest, size=stat.st_size, mtime_ns=stat.st_mtime_ns,
        mask_sha256="" if mask is None else hashlib.sha256(mask).hexdigest(),
    )  # fmt: skip


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from error
