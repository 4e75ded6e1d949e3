"""Tensors in safetensors files; pickle is neither written nor read."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xai_ext._checks import InputError


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
