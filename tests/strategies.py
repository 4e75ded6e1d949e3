"""What hypothesis draws: images in every memory layout, regions, trees, games, budgets, broken files."""

import numpy as np
import torch
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**31 - 1)
BUDGETS = st.integers(2, 300)
DTYPES = st.sampled_from([torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool, torch.bfloat16])
LAYOUTS = ("contiguous", "channels_last", "transposed", "expanded", "strided")


def laid_out(x, layout):
    """The same shape in another memory layout; "expanded" repeats its first row."""
    if layout == "channels_last":
        return x.clone(memory_format=torch.channels_last)
    if layout == "transposed":
        return x.transpose(2, 3).contiguous().transpose(2, 3)
    if layout == "expanded":
        return x[:, :, :1].expand(x.shape)
    if layout == "strided":
        return torch.repeat_interleave(x, 2, dim=3)[..., ::2]
    return x


@st.composite
def images(draw):
    """(N, C, H, W) of any dtype and layout, sides 1 to 9."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)))
    rng, dtype = np.random.default_rng(draw(SEEDS)), draw(DTYPES)
    values = draw(st.sampled_from([rng.normal(size=shape) * 3, np.zeros(shape), rng.integers(0, 3, shape)]))
    x = torch.from_numpy(np.abs(values) if dtype in (torch.uint8, torch.bool) else values).to(dtype)
    return laid_out(x, draw(st.sampled_from(LAYOUTS)))


@st.composite
def masks_of(draw, shape):
    """Regions (1, 1, H, W) or (N, 1, H, W): gaps, negative ids, one region, a region per pixel; or None."""
    kind = draw(st.sampled_from(["none", "few", "gaps", "one", "pixels", "per example"]))
    n, _, h, w = shape
    rng = np.random.default_rng(draw(SEEDS))
    found = {
        "none": None,
        "few": rng.integers(0, 4, (1, 1, h, w)),
        "gaps": rng.choice([-7, 0, 5, 90], (1, 1, h, w)),
        "one": np.full((1, 1, h, w), 3),
        "pixels": np.arange(h * w).reshape(1, 1, h, w),
        "per example": rng.integers(0, 5, (n, 1, h, w)),
    }[kind]
    return None if found is None else torch.from_numpy(np.asarray(found))


@st.composite
def merges(draw, n):
    """A tree over n players: random, chain or balanced, as SciPy linkage rows."""
    rng, kind = np.random.default_rng(draw(SEEDS)), draw(st.sampled_from(["random", "chain", "balanced"]))
    alive, sizes, rows = list(range(n)), [1] * n, []
    while len(alive) > 1:
        if kind == "random":
            i, j = sorted(rng.choice(len(alive), 2, replace=False))
        else:
            i, j = (0, 1) if kind == "balanced" else (len(alive) - 2, len(alive) - 1)
        b, a = alive.pop(j), alive.pop(i)
        rows.append([a, b, len(rows) + 1.0, sizes[a] + sizes[b]])
        sizes.append(sizes[a] + sizes[b])
        alive.append(n + len(rows) - 1)
    return np.array(rows, dtype=float).reshape(-1, 4)


@st.composite
def tables(draw, n):
    """A game of n players as a table: random, monotone, additive, with ties, zero."""
    rng = np.random.default_rng(draw(SEEDS))
    coalitions = np.arange(2**n)[:, None] >> np.arange(n) & 1
    kind = draw(st.sampled_from(["random", "monotone", "additive", "ties", "zero", "huge", "tiny"]))
    return {
        "random": rng.normal(size=2**n),
        "monotone": (coalitions @ rng.random(n)) ** 2,
        "additive": coalitions @ rng.normal(size=n),
        "ties": rng.integers(0, 2, 2**n).astype(float),
        "zero": np.zeros(2**n),
        "huge": rng.normal(size=2**n) * 1e12,
        "tiny": rng.normal(size=2**n) * 1e-310,
    }[kind]


@st.composite
def mutated(draw, content):
    """The bytes of a file, flipped, truncated, spliced or with bytes inserted."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["flip", "truncate", "splice", "insert"]))
        if kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "truncate":
            del data[at:]
        elif kind == "splice":
            data[at:at] = data[: draw(st.integers(0, 64))]
        else:
            data[at:at] = draw(st.binary(min_size=1, max_size=16))
    return bytes(data)
