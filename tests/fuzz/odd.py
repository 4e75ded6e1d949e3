"""Odd but legal numbers in every dtype and memory layout, maps in every form, and what a driven call is."""

from collections import Counter
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import SEEDS
from xai_ext._checks import InputError, InputTypeError
from xai_ext.explanation import Explanation

DOCUMENTED = (InputError, InputTypeError)
FINITE = ("normal", "ties", "constant", "zero", "positive", "one high")
KINDS = (*FINITE, "nan", "infinite", "huge", "tiny")
DTYPES = ("f8", "f8", "f4", "f2", "i8", "u1", "?")
SIDES = st.integers(1, 9)


class Call(NamedTuple):
    """Arguments of a public name, what must hold of its result, and what else must stay as it is."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    check: Callable[[Any], None]
    given: Any = None


def driven(make, function):
    """Drawn calls are answered as documented or refused in our words, and leave what they are given as it is."""
    counts = Counter()

    @given(st.data())
    def drive(data):
        call = make(data.draw)
        before = bits((call.args, call.kwargs, call.given))
        try:
            call.check(function(*call.args, **call.kwargs))
        except DOCUMENTED as error:
            assert str(error)
            counts["refused"] += 1
        else:
            counts["answered"] += 1
        assert bits((call.args, call.kwargs, call.given)) == before

    drive()
    assert counts["answered"] >= counts["refused"] / 5, "what is drawn must often be answered"


def maybe(draw, usual, odd, share=8):
    """``odd`` once in about ``share`` draws: by a seed, since hypothesis likes to repeat what is rare."""
    return draw(odd if np.random.default_rng(draw(SEEDS)).random() * share < 1 else usual)


@st.composite
def numbers(draw, shape, kinds=KINDS):
    """A float64 array."""
    rng, kind = np.random.default_rng(draw(SEEDS)), draw(st.sampled_from(kinds))
    found = {
        "normal": rng.normal(size=shape),
        "ties": rng.integers(-1, 3, shape).astype(float),
        "constant": np.full(shape, rng.normal()),
        "zero": np.zeros(shape),
        "positive": rng.random(shape),
        "one high": np.where(np.arange(np.prod(shape, dtype=int)).reshape(shape) == 0, 1.0, 0.0),
        "huge": rng.choice([-1.0, 0.5, 1.0], shape) * 1e308,
        "tiny": rng.integers(-2, 3, shape) * 5e-324,
        "nan": np.where(rng.random(shape) < 0.3, np.nan, rng.normal(size=shape)),
        "infinite": np.where(rng.random(shape) < 0.3, np.inf, rng.normal(size=shape)),
    }
    return np.asarray(found[kind], dtype=float)


def typed(values, dtype):
    """The same in another dtype: bool above 0, whole numbers without NaN."""
    if dtype == "?":
        return values > 0
    if dtype in ("i8", "u1"):
        whole = np.nan_to_num(values, posinf=9, neginf=0).clip(-100, 100) * 2
        return (np.abs(whole) if dtype == "u1" else whole).astype(dtype)
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(dtype)


@st.composite
def arrays(draw, shape, kinds=KINDS, dtypes=DTYPES):
    """A NumPy array: strided, Fortran-ordered, reversed, read-only or repeated."""
    return laid_out(draw, typed(draw(numbers(shape, kinds)), draw(st.sampled_from(dtypes))))


def laid_out(draw, array):
    """The same values in another memory layout."""
    layout = draw(st.sampled_from(["plain", "plain", "fortran", "strided", "reversed", "read-only"]))
    if not array.ndim:
        return np.array(array)
    if layout == "fortran":
        return np.asfortranarray(array)
    if layout == "strided":
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if layout == "reversed":
        return np.ascontiguousarray(array[..., ::-1])[..., ::-1]
    array = np.array(array)
    array.flags.writeable = layout != "read-only"
    return array


@st.composite
def tensors(draw, shape, kinds=KINDS, dtypes=DTYPES):
    """A tensor: transposed, strided, with a gradient, or in bfloat16."""
    x = torch.from_numpy(np.array(typed(draw(numbers(shape, kinds)), draw(st.sampled_from(dtypes)))))
    return shaped(draw, x)


def shaped(draw, x):
    """The same values in another memory layout, or nearly the same in another dtype."""
    layout = draw(st.sampled_from(["plain", "plain", "transposed", "strided", "gradient", "bfloat16"]))
    if layout == "transposed" and x.dim() > 1:
        return x.transpose(-1, -2).contiguous().transpose(-1, -2)
    if layout == "strided" and x.dim():
        return torch.repeat_interleave(x, 2, dim=-1)[..., ::2]
    if x.is_floating_point():
        return x.requires_grad_() if layout == "gradient" else x.bfloat16() if layout == "bfloat16" else x
    return x


def hosted(shape, kinds=KINDS, dtypes=DTYPES):
    """An array or a tensor."""
    return st.one_of(arrays(shape, kinds, dtypes), tensors(shape, kinds, dtypes))


@st.composite
def regions(draw, shape):
    """bool or 0/1 from empty to full, as array or tensor; rarely something else."""
    rng, share = np.random.default_rng(draw(SEEDS)), draw(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]))
    mask = rng.random(shape) < share
    if draw(st.booleans()) and mask.size:
        mask.flat[int(rng.integers(mask.size))] = True
    dtype = maybe(draw, st.sampled_from(["?", "?", "i8", "f4", "u1"]), st.just("odd"), 30)
    if dtype == "odd":
        return typed(draw(numbers(shape)), "f8")
    mask = laid_out(draw, mask.astype(dtype))
    return torch.from_numpy(mask.copy()) if draw(st.booleans()) else mask


@st.composite
def partitions(draw, n, shape):
    """Labels of n examples: shared or not, with gaps and negative ids; rarely of another shape or with fractions."""
    rng = np.random.default_rng(draw(SEEDS))
    full = draw(st.sampled_from([shape, (1, *shape), (n, *shape), (n, 1, *shape)]))
    labels = rng.choice(draw(st.sampled_from([[0], [-7, 0, 5], list(range(30))])), full)
    odd = maybe(draw, st.just(""), st.sampled_from(["shape", "fractions", "list"]), 20)
    if odd == "shape":
        return np.zeros((n, 3, *shape, 2), int)
    if odd == "fractions":
        return labels + 0.5
    return labels.tolist() if odd == "list" else draw(st.sampled_from([labels, torch.from_numpy(labels)]))


def shap_like(values, data):
    """What is recognised as a ``shap.Explanation``."""
    return SimpleNamespace(values=values, base_values=np.zeros(len(values)), data=data, output_names=["a", "b", "c"])


def explained(draw, shape, kinds):
    """An `Explanation` of up to four players."""
    labels = np.random.default_rng(draw(SEEDS)).integers(0, 4, shape)
    present, players = np.unique(labels, return_inverse=True)
    values = draw(numbers((len(present),), kinds))
    return Explanation(values, np.zeros_like(values), (players.reshape(shape),), 0.0, 1.0, 7, "LIME")


@st.composite
def map_forms(draw, n, shape, kinds=KINDS):
    """(maps, options that say how they are to be read), n examples over ``shape``."""
    usual = st.sampled_from(["plain", "plain", "channels", "last", "named", "shap", "players"])
    form = maybe(draw, usual, st.just("odd"), 12)
    form = "plain" if form == "players" and 0 in shape else form
    c = draw(st.integers(1, 4))
    if form == "plain":
        return draw(hosted((n, *shape), kinds)), {}
    if form == "channels":
        return draw(hosted((n, c, *shape), kinds)), {"channel_reduce": draw(st.sampled_from(["sum", "max", "max_abs"]))}
    if form == "last":
        return draw(hosted((n, *shape, c), kinds)), {"layout": "channels_last"}
    if form == "named":
        return {"a": draw(hosted((n, *shape), kinds)), "b": draw(hosted((n, *shape), kinds))}, {}
    if form == "shap":
        outputs = draw(st.sampled_from([(), (1,), (3,)]))
        values = draw(arrays((n, *shape, c, *outputs), kinds))
        data = draw(st.one_of(st.none(), arrays((n, *shape, c), FINITE)))
        return shap_like(values, data), {"output": maybe(draw, st.just(0), st.sampled_from([None, "b", -1, 5]), 4)}
    if form == "players":
        return [explained(draw, shape, kinds) for _ in range(n)], {}
    sizes = draw(st.lists(st.integers(0, 4), max_size=4))
    return draw(st.one_of(hosted((n, *sizes)), hosted(()), st.sampled_from(["a map", (), {}, [1.0]]))), {}


def bits(given):
    """Everything that could have been changed, as bytes."""
    if isinstance(given, torch.Tensor):
        return given.dtype, tuple(given.shape), given.detach().double().numpy().tobytes()
    if isinstance(given, np.ndarray):
        return given.dtype.str, given.shape, given.tobytes()
    if isinstance(given, Mapping):
        return [(name, bits(one)) for name, one in given.items()]
    if isinstance(given, list | tuple):
        return [bits(one) for one in given]
    if isinstance(given, SimpleNamespace | Explanation):
        return bits(dict(vars(given)))
    return None


def each(found):
    """The results of a mapping of maps, or the one."""
    return list(found.values()) if isinstance(found, dict) else [found]


def column(n, low=-np.inf, high=np.inf):
    """float64 (n,): NaN, or between the two but for rounding; nothing is infinite that has bounds."""

    def check(found):
        for one in each(found):
            assert one.dtype == torch.float64
            assert tuple(one.shape) == (n,)
            known = one[~one.isnan()]
            assert bool(((known >= low - 1e-12) & (known <= high + 1e-12)).all())
            assert np.isinf([low, high]).any() or bool(known.isfinite().all())

    return check
