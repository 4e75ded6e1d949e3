"""Files that may come from strangers: read without running anything."""

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xai_ext._checks import InputError, check_choice
from xai_ext._types import AnyArray

MAX_STATE_BYTES = 8 * 2**30
MAX_CONFIG_BYTES = 2**20
MAX_DEPTH = 8
_IMPORT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class UntrustedFileError(InputError):
    """A file that cannot be read without running what it holds, or that is not what it says."""


def load_state(
    path: str | Path, module: nn.Module | None = None, *, max_bytes: int = MAX_STATE_BYTES
) -> dict[str, Any]:
    """Tensors by name from a safetensors file or a ``torch.save`` of plain tensors.

    Parameters
    ----------
    path : path
        Told apart by content, not by name.
    module : nn.Module, optional
        Names, shapes and dtypes must be those of its ``state_dict()``.
    max_bytes : int
        Larger files are refused before they are read.

    Raises
    ------
    UntrustedFileError
        For a file that needs pickle. It is never read in another way: fix, ``safetensors.torch.save_file``.
    """
    path = _file(path, max_bytes)
    state = _torch_state(path) if _is_zip_or_pickle(path) else _safetensors(path)
    if not isinstance(state, Mapping) or not all(isinstance(k, str) for k in state):
        raise UntrustedFileError(f"{path} must hold tensors by name, got {type(state).__name__}")
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    if len(tensors) < len(state):
        raise UntrustedFileError(f"{path} must hold tensors only, got others under {sorted(set(state) - set(tensors))}")
    if module is not None:
        _check_fits(path, tensors, module.state_dict())
    return tensors


def load_array(path: str | Path, ndim: int, *, max_items: int = 2**28) -> AnyArray:
    """A numeric array from a .npy file, without pickle; its header is judged before its content is read.

    Parameters
    ----------
    path : path
    ndim : int
        Dimensions that it must have.
    max_items : int
        Larger arrays are refused.
    """
    path = _file(path, 16 * max_items)
    try:
        array: AnyArray = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy raises many kinds for a broken file
        raise UntrustedFileError(f"{path} is not a .npy file of numbers: {error}") from error
    if not isinstance(array, np.ndarray) or array.ndim != ndim or array.size > max_items:
        shape = getattr(array, "shape", None)
        raise InputError(f"{path} must hold an array of {ndim} dimensions, at most {max_items} numbers, got {shape}")
    if array.dtype.kind not in "biuf" or not bool(np.isfinite(array).all()):
        raise InputError(f"{path} must hold finite numbers, got {array.dtype}")
    return np.array(array)


def load_config(path: str | Path, known: Iterable[str] | None = None, *, allow_import: bool = False) -> dict[str, Any]:
    """Settings from a TOML or JSON file.

    Parameters
    ----------
    path : path
        ``.toml`` or ``.json``, at most 1 MB and 8 levels deep.
    known : iterable of str, optional
        The keys that the first level may have; None allows any.
    allow_import : bool
        May values name something to import, ``module:callable``?
    """
    path = _file(path, MAX_CONFIG_BYTES)
    parse: Callable[[str], Any] = json.loads if path.suffix == ".json" else tomllib.loads
    check_choice("the suffix of a configuration", path.suffix, (".toml", ".json"))
    try:
        content = parse(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as {path.suffix[1:]}: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a table of settings, got {type(content).__name__}")
    for key in content if known is not None else ():
        check_choice(f"a setting of {path.name}", key, known or ())
    _check_values(path, content, 0, allow_import=allow_import)
    return content


def _file(path: str | Path, max_bytes: int) -> Path:
    path = Path(path)
    if "\0" in str(path) or not path.is_file():
        raise InputError(f"there is no file {str(path)!r}")
    size = path.stat().st_size
    if size > max_bytes:
        raise InputError(f"{path} has {size} bytes, more than the {max_bytes} that are read")
    return path


def _is_zip_or_pickle(path: Path) -> bool:
    with open(path, "rb") as file:
        head = file.read(4)
    return head[:2] == b"PK" or head[:1] == b"\x80"


def _torch_state(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of any kind: the file is not ours
        raise UntrustedFileError(
            f"{path} is not a plain file of tensors ({type(error).__name__}: {str(error)[:200]}); it is never read "
            "with pickle; fix: convert it where you trust it, safetensors.torch.save_file(model.state_dict(), path)"
        ) from error


def _safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except Exception as error:  # SafetensorError and whatever a broken header raises
        raise UntrustedFileError(f"{path} is not a safetensors file: {error}") from error


def _check_fits(path: Path, given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for name in sorted(given.keys() ^ expected.keys()):
        raise UntrustedFileError(f"{path} does not fit the model: {name} is {'extra' if name in given else 'missing'}")
    for name, tensor in given.items():
        like = expected[name]
        if tensor.shape != like.shape or tensor.dtype != like.dtype:
            raise UntrustedFileError(
                f"{path} does not fit the model: {name} is {tensor.dtype} {tuple(tensor.shape)}, expected "
                f"{like.dtype} {tuple(like.shape)}"
            )


def _check_values(path: Path, value: Any, depth: int, *, allow_import: bool) -> None:
    if depth > MAX_DEPTH:
        raise InputError(f"{path} is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _check_values(path, part, depth + 1, allow_import=allow_import)
    elif isinstance(value, str) and not allow_import and _IMPORT.fullmatch(value):
        raise InputError(f"{path} names something to import, {value!r}; fix: --allow-import, if you trust the file")
