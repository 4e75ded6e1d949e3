"""Tensors in safetensors files; pickle is neither written nor read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xai_ext._checks import InputError, InputTypeError


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors by name."""
    own = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    _safetensors().torch.save_file(own, path, metadata)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors, floating point as float32 or wider, and metadata."""
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    library = _safetensors()
    try:
        with library.safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except library.SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file ({error}); pickle is never read") from error
    return {name: _wide(t) for name, t in tensors.items()}, metadata


@contextmanager
def described_by(path: Path) -> Iterator[None]:
    """What a file describes is built, or the file is refused: it may be a stranger's."""
    try:
        yield
    except (InputError, InputTypeError):
        raise
    except Exception as error:
        raise InputError(f"{path} does not describe what it should: {type(error).__name__}: {error}") from error


def check_fits(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Names and shapes are those expected, before memory is taken for them."""
    for name in sorted(tensors.keys() | expected.keys()):
        got, like = (tuple(t[name].shape) if name in t else None for t in (tensors, expected))
        if got != like:
            raise InputError(f"the weights {name} do not fit the network: expected shape {like}, got {got}")


def _wide(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.torch
    except Exception as error:
        raise InputError(
            f"weights are kept in safetensors files, which cannot be imported ({error}); "
            'fix: pip install "xai-ext[anomaly]"'
        ) from error
    return safetensors
