"""Regions that the user brings: a file, or a function."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xai_ext._checks import InputError
from xai_ext._types import AnyArray, IntArray

SUFFIXES = (".npy", ".png")


def labels_from_file(path: str, shape: tuple[int, ...]) -> IntArray:
    """Integers (H, W) of what the model sees, in a NPY file or as the grey values or palette of a PNG."""
    try:
        given: Any = np.load(path, allow_pickle=False) if path.endswith(".npy") else np.asarray(Image.open(path))
    except (OSError, ValueError) as error:
        raise InputError(f"the regions {path} cannot be read: {error}") from error
    return _numbered(given, shape, path)


def labels_from_function(name: str, pixels: AnyArray) -> IntArray:
    """What ``module:callable`` returns for the pixels (H, W, 3)."""
    module, _, function = name.partition(":")
    try:
        segment = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InputError(f"cannot load the segmentation {name} ({error})") from error
    return _numbered(segment(pixels), pixels.shape[:2], name)


def is_file(how: str) -> bool:
    """Does an option name a file of regions?"""
    return Path(how).suffix in SUFFIXES


def _numbered(given: Any, shape: tuple[int, ...], name: str) -> IntArray:
    """From 0, without gaps."""
    array = np.asarray(given)
    if array.shape != tuple(shape) or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"the regions {name} must be integers of the shape that the model sees, {shape[0]}x{shape[1]}, got "
            f"{array.dtype} of shape {array.shape}"
        )
    return np.unique(array, return_inverse=True)[1].reshape(shape).astype(np.int64)
