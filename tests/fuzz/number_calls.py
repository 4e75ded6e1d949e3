"""How the functions of numbers, boxes, sizes and rankings are called, those of whole data sets among them."""

import numpy as np
import torch
from hypothesis import strategies as st

from tests.fuzz.map_calls import EXAMPLES, ODD_NUMBERS, one_box, spatial
from tests.fuzz.odd import FINITE, SIDES, Call, arrays, column, hosted, maybe, numbers, regions
from tests.strategies import SEEDS
from xai_ext import metrics
from xai_ext.metrics import detection
from xai_ext.metrics._chance import _OF_MAPS, _WITH_K, _WITH_MASK


def chance(draw):
    n, shape = draw(EXAMPLES), spatial(draw)
    name = draw(st.sampled_from(["pointing_game", *_WITH_K, *_WITH_MASK, *_OF_MAPS]))
    size = int(np.prod(shape))
    ks = st.one_of(st.integers(0, size), arrays((n,), ("zero", "one high", "nan"), ("f8", "f4")))
    kwargs = {"k": maybe(draw, ks, st.one_of(st.none(), ODD_NUMBERS, arrays((n + 1,), FINITE)))}
    if name == "pointing_game" or (name not in _OF_MAPS and draw(st.booleans())):
        kwargs["masks"] = draw(regions((n, *shape)))
        kwargs["tolerance"] = maybe(draw, st.floats(0, 9), ODD_NUMBERS)
        if draw(st.booleans()):
            kwargs["ignore"] = draw(regions((n, *shape)))
    else:
        kwargs["k"] = maybe(draw, st.integers(0, size), st.one_of(st.none(), ODD_NUMBERS))
        kwargs |= {"rho": maybe(draw, st.floats(0, 1), ODD_NUMBERS), "n": maybe(draw, st.integers(81, 99), ODD_NUMBERS)}
    wanted = (n,) if "masks" in kwargs else ()

    def check(found):
        assert tuple(found.shape) == wanted
        column(found.numel(), 0, 1)(found.reshape(-1))

    return Call((name,), kwargs, check)


def boxes_to_mask(draw):
    shape = draw(st.tuples(SIDES, SIDES))
    boxes = [[one_box(draw, shape) for _ in range(draw(st.integers(0, 3)))] for _ in range(draw(st.integers(0, 3)))]

    def check(found):
        assert found.dtype == torch.bool
        assert tuple(found.shape) == (len(boxes), *shape)

    return Call((boxes, shape, draw(st.sampled_from(["xyxy", "xywh", "voc"]))), {}, check)


def box_iou(draw):
    a, b = ([one_box(draw, (9, 9)) for _ in range(draw(st.integers(0, 3)))] for _ in range(2))

    def check(found):
        assert tuple(found.shape) == (len(a), len(b))
        column(found.numel(), 0, 1)(found.flatten())
        assert not bool(found.isnan().any())

    return Call((a, b, draw(st.sampled_from(["half_open", "inclusive"]))), {}, check)


def resize_map(draw):
    n, shape = draw(EXAMPLES), draw(st.tuples(SIDES, SIDES))
    inner = maybe(draw, st.sampled_from([shape, (2, *shape)]), st.sampled_from([(), (3,), (0, 3), (1, 2, 3, 4)]), 12)
    maps, size = draw(hosted((n, *inner))), draw(st.tuples(SIDES, SIDES))
    size = maybe(draw, st.just(size), st.sampled_from([(0, 3), (-1, 2), (2,), [2.5, 3], (np.int64(3), 2)]), 12)
    mode = draw(st.sampled_from(["bilinear", "bicubic", "area", "nearest", "nearest-exact"]))
    kwargs = {"align_corners": draw(st.booleans())}

    def check(found):
        assert isinstance(found, torch.Tensor) is isinstance(maps, torch.Tensor)
        assert tuple(found.shape) == (*maps.shape[:-2], *map(int, size))
        whole = "int" in str(maps.dtype)
        assert str(found.dtype).endswith("float64") if whole else found.dtype == maps.dtype

    return Call((maps, size, mode), kwargs, check)


def curve_auc(draw):
    p = maybe(draw, st.integers(1, 6), st.just(0), 20)
    kwargs = {"normalize": draw(st.sampled_from(["none", "original", "range", "range_clipped"]))}
    kwargs["rule"] = draw(st.sampled_from(["trapezoid", "even"]))
    kwargs |= {name: maybe(draw, st.floats(-3, 3), st.none()) for name in ("f_input", "f_baseline")}
    kwargs["fractions"] = draw(st.one_of(st.none(), numbers((maybe(draw, st.just(p), SIDES, 20),), ("positive",))))
    curve = draw(arrays((p,), FINITE))
    return Call((curve,), kwargs, lambda found: column(1)(torch.tensor([found], dtype=torch.float64)))


def top_mask(draw):
    values = draw(arrays(tuple(draw(st.lists(SIDES, max_size=3)))))
    k = draw(st.one_of(st.integers(0, 90), st.floats(0, 1), ODD_NUMBERS))
    kwargs = {"ties": draw(st.sampled_from(["stable", "reverse", "random"]))}
    kwargs["rng"] = draw(st.one_of(st.none(), SEEDS.map(np.random.default_rng)))

    def check(found):
        assert found.dtype == np.bool_
        assert found.shape == values.shape
        count = k if isinstance(k, int) else int(k * values.size + 0.5)
        assert found.sum() == count
        if 0 < count < values.size:
            assert values[found].min() >= values[~found].max()

    return Call((values, k), kwargs, check)


def score_column(draw, n):
    kinds = ("positive", "zero", "ties", "one high", "nan", "tiny", "huge")
    return draw(st.one_of(hosted((n,), kinds), numbers((n,), kinds).map(np.ndarray.tolist)))


def relative(name, draw):
    n = draw(EXAMPLES)
    args = [score_column(draw, maybe(draw, st.just(n), SIDES, 12)) for _ in range(3 if name == "adcc" else 2)]

    def check(found):
        assert found.dtype == torch.float64
        assert tuple(found.shape) == (len(args[0]),)

    return Call(tuple(args), {}, check)


def labels_of(draw, shape):
    rng = np.random.default_rng(draw(SEEDS))
    labels = rng.random(shape) < maybe(draw, st.sampled_from([0.3, 0.5]), st.sampled_from([0.0, 1.0]))
    return labels.astype(draw(st.sampled_from(["?", "i8", "f8"]))) if draw(st.booleans()) else torch.from_numpy(labels)


def detected(name, draw):
    n = maybe(draw, st.integers(4, 16), st.integers(0, 3))
    scores, labels = score_column(draw, n), labels_of(draw, (maybe(draw, st.just(n), SIDES, 20),))
    kwargs = {}
    if name == "auroc":
        kwargs = {
            "interval": draw(st.sampled_from([None, "delong"])),
            "confidence": maybe(draw, st.just(0.9), ODD_NUMBERS),
        }

    def check(found):
        values = [found] if isinstance(found, float) else [v for v in vars(found).values() if isinstance(v, float)]
        assert not np.isinf(values).any()
        if name != "oracle_threshold":
            column(1, 0, 1)(torch.tensor(values[:1], dtype=torch.float64))

    return Call((scores, labels), kwargs, check)


def detected_pixels(name, draw):
    n, shape = draw(EXAMPLES), spatial(draw)
    maps, masks = draw(hosted((n, *draw(st.sampled_from([(), (1,)])), *shape))), draw(regions((n, *shape)))
    kwargs = {}
    if name == "aupro":
        limit = maybe(draw, st.floats(0.01, 1), ODD_NUMBERS)
        kwargs = {"fpr_limit": limit, "connectivity": maybe(draw, st.sampled_from([4, 8]), st.just(6), 10)}
    return Call((maps, masks), kwargs, lambda found: column(1, 0, 1)(torch.tensor([found], dtype=torch.float64)))


def detection_function(name):
    return getattr(detection, name)


def protocol(draw):
    """Any fields; what is built can be shown and says how it reads maps."""
    fields = {
        "n_steps": st.one_of(st.integers(1, 40), ODD_NUMBERS),
        "step_size": st.sampled_from([None, 1, 3, "width", 0, "height", 1.5]),
        "levels": st.sampled_from([None, 2, 5, 1]),
        "ties": st.sampled_from(["group", "stable", "reverse", "random"]),
        "n_orders": st.sampled_from([1, 2, 0]),
        "axis": st.sampled_from(["pixels", "features"]),
        "sign": st.sampled_from(["signed", "positive", "abs"]),
        "channel_dim": st.sampled_from([1, None, -1, 0]),
        "score": st.sampled_from([None, "logit", "prob", "log_prob", "margin", 3]),
        "normalize": st.sampled_from(["none", "original", "range", "range_clipped"]),
        "area": st.sampled_from(["trapezoid", "even"]),
    }
    chosen = draw(st.lists(st.sampled_from(list(fields)), max_size=3, unique=True))

    def check(found):
        assert found == metrics.Protocol(**kwargs)
        assert hash(found) == hash(metrics.Protocol(**kwargs))

    kwargs = {name: draw(fields[name]) for name in chosen}
    return Call((), kwargs, check)
