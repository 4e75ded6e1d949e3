"""Masked inputs: one input and its baseline, mixed by masks."""

import torch
from torch import Tensor

BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Operand:
    """One input and its baseline, ready to be mixed by masks."""

    def __init__(self, x: Tensor, baseline: Tensor) -> None:
        self.x, self.baseline = x, baseline
        self._bits = BITS.get(x.element_size())
        self._blends_all = x.is_floating_point() and bool(torch.isfinite(x - baseline).all())
        if self._bits is not None:
            base_bits = baseline.view(self._bits)
            self._difference = x.view(self._bits) ^ base_bits
            self._base_bits = base_bits if bool(base_bits.any()) else None

    def mixed(self, keep: Tensor) -> Tensor:
        """``x`` where ``keep``, else the baseline."""
        if not self.x.numel():
            return self.x
        keep = keep.to(self.x.device).reshape(len(keep), *(1,) * (self.x.dim() - keep.dim()), *keep.shape[1:])
        if keep.is_floating_point():
            return self._blended(keep)
        if self._bits is None:
            return torch.where(keep, self.x, self.baseline)
        # Exact for any content, as torch.where is, and two to three times faster on a CPU: one exchange of
        # bits instead of a scalar loop.
        bits = (keep if keep.dtype == self._bits else switches(keep, self.x)) & self._difference
        if self._base_bits is not None:
            bits.bitwise_xor_(self._base_bits)
        return bits.view(self.x.dtype)

    def _blended(self, keep: Tensor) -> Tensor:
        """``keep * x + (1 - keep) * baseline``; integers are rounded, a bool is the nearer of the two."""
        if self.x.dtype == torch.bool:
            return torch.where(keep >= 0.5, self.x, self.baseline)
        if self._blends_all:
            return torch.lerp(self.baseline, self.x, keep.to(self.x.dtype))
        if self.x.is_floating_point():
            mixed = torch.lerp(self.baseline, self.x, keep.to(self.x.dtype))
        else:
            mixed = torch.lerp(self.baseline.float(), self.x.float(), keep.float()).round().to(self.x.dtype)
        # what is not finite, or no float32, stays out of elements that are kept or hidden as a whole
        return torch.where(keep == 1, self.x, torch.where(keep == 0, self.baseline, mixed))


def switches(keep: Tensor, x: Tensor) -> Tensor:
    """`keep` (bool) as integers as wide as the elements of `x`, all bits set or none; bool where there are none."""
    bits = BITS.get(x.element_size())
    return keep if bits is None else keep.to(bits).neg_()
