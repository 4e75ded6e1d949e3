"""Regions that the user brings: a file, or a function."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xai_ext._checks import InputError
from xai_ext._io import load_array
from xai_ext._types import AnyArray, IntArray

SUFFIXES = (".npy", ".png")


def labels_from_file(path: str, shape: tuple[int, ...]) -> IntArray:
    """Integers (H, W) of what the model sees, in a NPY file or as the grey values or palette of a PNG."""
    return _numbered(load_array(path, 2) if path.endswith(".npy") else _levels(path, shape), shape, path)


def _levels(path: str, shape: tuple[int, ...]) -> AnyArray:
    """The grey values or palette of a PNG; its size is compared before anything is decoded."""
    try:
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            image = Image.open(path, formats=("PNG",))
        if image.size[::-1] == tuple(shape):
            return np.asarray(image)
    except Exception as error:  # a broken file raises anything
        raise InputError(f"the regions {path} cannot be read: {error}") from error
    raise InputError(f"the regions {path} must be {shape[0]}x{shape[1]}, as the model sees, got {image.size[::-1]}")


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
