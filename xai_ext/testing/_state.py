"""What a method must leave as it was: the process, its random generators, the user's model."""

import locale
import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def generators() -> dict[str, Any]:
    """States of torch's, NumPy's and Python's global generators, comparable."""
    name, keys, position, *rest = np.random.get_state()  # noqa: NPY002 - the global state is the point
    found = {
        "torch": bytes(torch.get_rng_state().numpy()),
        "numpy": (name, np.asarray(keys).tobytes(), position, *rest),
        "python": random.getstate(),
    }
    return found | ({"cuda": torch.cuda.get_rng_state_all()} if torch.cuda.is_available() else {})


def process() -> dict[str, Any]:
    """Settings of the process that no method has a reason to change."""
    found = {
        "warning filters": list(warnings.filters),
        "numpy errors": np.geterr(),
        "torch threads": torch.get_num_threads(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark),
        "working directory": os.getcwd(),
        "environment": {k: v for k, v in os.environ.items() if not k.startswith(("KMP_", "PYTEST_", "LOKY_"))},
        "locale": locale.setlocale(locale.LC_ALL),
        "recursion limit": sys.getrecursionlimit(),
    }
    return found | grad_state() | _plot_settings()


def grad_state() -> dict[str, Any]:
    """Torch's modes."""
    return {
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "default dtype": torch.get_default_dtype(),
        "autocast": torch.is_autocast_enabled("cpu"),
    }


def _plot_settings() -> dict[str, Any]:
    mpl = sys.modules.get("matplotlib")
    return {} if mpl is None else {"rcParams": dict(mpl.rcParams), "matplotlib": mpl.get_backend()}


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what changed; what appeared with a newly imported package is no change."""
    return [name for name in before if name in after and before[name] != after[name]]


@contextmanager
def restored() -> Iterator[None]:
    """Put everything back afterwards, so that one failure does not cause the next."""
    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - likewise
    threads, limit, cwd, environment = torch.get_num_threads(), sys.getrecursionlimit(), os.getcwd(), dict(os.environ)
    errors, dtype, grad, filters = np.geterr(), torch.get_default_dtype(), torch.is_grad_enabled(), warnings.filters[:]
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002 - likewise
        torch.set_rng_state(torch_state)
        torch.set_num_threads(threads)
        sys.setrecursionlimit(limit)
        os.chdir(cwd)
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)
        np.seterr(**errors)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.use_deterministic_algorithms(deterministic)
        if warnings.filters != filters:
            warnings.filters[:] = filters  # type: ignore[index]


def seed_globally(seed: int) -> None:
    """For methods that know no other way to be reproducible."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - likewise
    torch.manual_seed(seed)


@dataclass(frozen=True, eq=False)
class ModelState:
    """Parameters, buffers, modes, gradients and hooks of a module."""

    tensors: dict[str, Tensor]
    modes: dict[str, bool]
    needs: dict[str, bool]
    grads: dict[str, Tensor | None]
    hooks: dict[str, int]

    @classmethod
    def of(cls, module: nn.Module) -> "ModelState":
        parameters = dict(module.named_parameters())
        tensors = parameters | dict(module.named_buffers())
        return cls(
            {k: v.detach().clone() for k, v in tensors.items()},
            {k: m.training for k, m in module.named_modules()},
            {k: p.requires_grad for k, p in parameters.items()},
            {k: None if p.grad is None else p.grad.clone() for k, p in parameters.items()},
            {f"{k}.{name}": len(getattr(m, name)) for k, m in module.named_modules() for name in HOOKS},
        )

    def changed(self, other: "ModelState", kinds: str = "tensors modes needs grads hooks") -> list[str]:
        """What differs, as ``kind name``."""
        return [
            f"{kind} {name}" for kind in kinds.split() for name in _changed(getattr(self, kind), getattr(other, kind))
        ]


def _changed(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    return [k for k in sorted(a.keys() | b.keys()) if k not in a or k not in b or not same_bits(a[k], b[k])]


def same_bits(a: Any, b: Any) -> bool:
    """Equal representation: NaN equals NaN, 0.0 is not -0.0."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and _bytes(a) == _bytes(b)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return bool(a == b)


def _bytes(x: Tensor) -> bytes:
    return x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if x.numel() else b""
