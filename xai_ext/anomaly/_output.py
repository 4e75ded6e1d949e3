"""From raw output to scores."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xai_ext._checks import InputError, InputTypeError, NonFiniteScoreError
from xai_ext._types import FloatArray
from xai_ext.anomaly.reducers import Reducer


class FrozenScore(nn.Module):
    """A reconstruction score whose reconstruction is an argument; made by ``score.frozen()``.

    ``BPTOwen(frozen).attribute(x, baselines=ref, additional_forward_args=(ref,))`` with
    ``ref = score.reference(x)``: 0 for the reference, the score itself for x.
    """

    def __init__(self, evidence: Callable[[Tensor, Tensor], Tensor], reduce: Reducer) -> None:
        super().__init__()
        self._evidence, self.reduce = evidence, reduce
        self.training = False

    def forward(self, x: Tensor, reference: Tensor) -> Tensor:
        """Scores (N,) of samples (N, C, H, W) against fixed reconstructions of the same shape."""
        return checked(self.reduce(self._evidence(x, reference.expand_as(x))), len(x))


def check_samples(x: Any) -> Tensor:
    """Samples as a detector takes them."""
    if not isinstance(x, Tensor) or not x.dim():
        raise InputTypeError(f"samples must be a tensor (N, C, H, W) or (N, D), got {type(x).__name__}: {x!r:.80}")
    return x


def checked(output: Any, n: int) -> Tensor:
    """Finite scores (n,), at least float32."""
    if not isinstance(output, Tensor) or output.numel() != n or output.shape[:1] != (n,):
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(f"a score must give one number per row, a tensor ({n},) or ({n}, 1), got {shape}")
    scores = output.reshape(n)
    if not scores.is_floating_point():
        raise InputError(f"a score must be floating point, got {scores.dtype}; fix: the score before its threshold")
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    for row in _bad_rows(scores.detach()):
        raise NonFiniteScoreError(f"the score of row {row} is {float(scores[row])}; scores must be finite")
    return scores


def _bad_rows(scores: Tensor) -> Iterator[int]:
    if not bool(scores.isfinite().all()):
        yield from (~scores.isfinite()).nonzero()[:, 0].tolist()


def spearman(a: FloatArray, b: FloatArray) -> float:
    from scipy.stats import rankdata

    ranks = [rankdata(v) for v in (a, b)]
    if any(np.ptp(r) == 0 for r in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])
