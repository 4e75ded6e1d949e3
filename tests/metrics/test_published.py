"""Published protocols, re-stated in loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from xai_ext.metrics import LinearImputer, Protocol, deletion, deletion_insertion, insertion, srg

SIDES = 30, 32  # 960 positions; with ties


@pytest.fixture(scope="module")
def given():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 5, 2), nn.Tanh(), nn.Conv2d(4, 4, 5, 2), nn.Tanh(), nn.Flatten())
        net = nn.Sequential(*net, nn.LazyLinear(2)).double().eval()
        x = torch.randn(1, 3, *SIDES, dtype=torch.float64)
        net(x)
    rng = np.random.default_rng(0)
    return net, x, rng.integers(-40, 41, SIDES) / 8


def score(net, image):
    with torch.no_grad():
        return net(image[None])[0, 1].item()


def blurred(image):
    """Every pixel by hand: the weighted sum of what a window of 11 x 11 sees of an image with a black surround."""
    impulse = np.zeros((11, 11))
    impulse[5, 5] = 1
    kernel = gaussian_filter(impulse, 5)
    assert kernel.max() / kernel.min() == pytest.approx(1.1417, abs=1e-4)
    assert kernel[5, 5] == pytest.approx(0.0088326, abs=1e-7)
    padded = np.pad(image.numpy(), ((0, 0), (5, 5), (5, 5)))
    out = np.zeros(image.shape)
    for y in range(SIDES[0]):
        for x in range(SIDES[1]):
            out[:, y, x] = (padded[:, y : y + 11, x : x + 11] * kernel).sum((1, 2))
    return torch.from_numpy(out)


def moved(start, end, flat, positions):
    image = start.clone()
    for p in positions:
        y, x = divmod(int(p), SIDES[1])
        image[:, y, x] = end[:, y, x]
    return image


class TestRise:
    def by_hand(self, given, step):
        net, x, saliency = given
        flat = saliency.ravel()
        order = sorted(range(flat.size), key=lambda p: (flat[p], p))[::-1]
        curves = []
        for start, end in ((x[0], torch.zeros_like(x[0])), (blurred(x[0]), x[0])):
            scores = [score(net, start)]
            n = 0
            while n < flat.size:
                n = min(n + step, flat.size)
                scores.append(score(net, moved(start, end, flat, order[:n])))
            curves.append(scores)
        return [(sum(c) - (c[0] + c[-1]) / 2) / (len(c) - 1) for c in curves]

    def test_it_is_the_published_loop(self, given):
        net, x, saliency = given
        found = deletion_insertion(net, x, saliency[None], target=1, protocol=Protocol.rise())
        low, high = self.by_hand(given, SIDES[1])
        assert found.deletion.item() == pytest.approx(low, abs=1e-6)
        assert found.insertion.item() == pytest.approx(high, abs=1e-6)
        assert found.srg.isnan().all()
        assert found.deletion_curve.curve.shape == (1, SIDES[0] + 1)
        assert insertion(net, x, saliency[None], target=1, protocol=Protocol.rise()).item() == found.insertion.item()

    def test_a_short_last_step_counts_as_a_whole_one(self, given):
        net, x, saliency = given
        found = deletion(net, x, saliency[None], target=1, protocol=Protocol(step_size=77, ties="reverse", area="even"))
        assert found.item() == pytest.approx(self.by_hand(given, 77)[0], abs=1e-6)
        true = deletion(net, x, saliency[None], target=1, protocol=Protocol(step_size=77, ties="reverse"))
        assert abs(found - true).item() > 1e-4

    @pytest.mark.parametrize(
        ("metric", "options", "message"),
        [
            (deletion, {"baselines": 0.5}, "leave out baselines"),
            (insertion, {"baselines": LinearImputer()}, "leave out baselines"),
            (deletion_insertion, {"insertion_baselines": 0.5}, "leave out insertion_baselines"),
            (srg, {}, "fix: deletion_insertion"),
        ],
    )
    def test_contradictions_are_refused(self, given, metric, options, message):
        net, x, saliency = given
        with pytest.raises(ValueError, match=message):
            metric(net, x, saliency[None], target=1, protocol=Protocol.rise(), **options)


class TestShapbpt:
    @pytest.mark.parametrize("sign", [1, -1])
    @pytest.mark.parametrize("levels", [101, 9])  # with 9 not every tie group is a point
    def test_it_is_the_published_loop(self, given, sign, levels):
        net, x, saliency = given
        saliency = sign * saliency  # the score rises or falls from the baseline
        scores = {"deletion": [], "insertion": []}
        for i in range(levels):
            q = np.quantile(saliency, (levels - 1 - i) / (levels - 1))
            for name, keep in (("deletion", saliency <= q), ("insertion", saliency >= q)):
                if (name == "deletion" and i == levels - 1) or (name == "insertion" and i == 0):
                    keep = np.zeros_like(keep)
                t = keep.mean() if name == "insertion" else 1 - keep.mean()
                if scores[name] and scores[name][-1][0] == t:
                    continue
                image = torch.where(torch.from_numpy(keep), x[0], torch.zeros_like(x[0]))
                scores[name].append((t, score(net, image)))
        fx, base = score(net, x[0]), score(net, torch.zeros_like(x[0]))
        protocol = replace(Protocol.shapbpt(), levels=levels)
        found = deletion_insertion(net, x, saliency[None], target=1, protocol=protocol)
        for name, points in scores.items():
            t, y = np.array(points).T
            scaled = (np.clip(y, min(fx, base), max(fx, base)) - base) / (fx - base)
            area = sum((b - a) * (u + v) / 2 for a, b, u, v in zip(t, t[1:], scaled, scaled[1:], strict=False))
            assert getattr(found, name).item() == pytest.approx(area, abs=1e-6)

    def test_it_has_no_regions(self, given):
        net, x, saliency = given
        labels = np.zeros(SIDES, int)
        with pytest.raises(ValueError, match="quantiles of positions"):
            deletion(net, x, saliency[None], target=1, feature_mask=labels, protocol=Protocol.shapbpt())


class TestKnobs:
    @pytest.mark.parametrize(
        ("knobs", "message"),
        [
            ({"step_size": "height"}, "step_size must be one of 'width'"),
            ({"levels": 1}, "levels must be at least 2"),
            ({"levels": 9, "ties": "stable"}, "levels needs ties"),
            ({"levels": 9, "step_size": 4}, "levels needs ties"),
            ({"n_orders": 2}, 'n_orders=2 needs ties="random"'),
            ({"area": "simpson"}, "area must be one of"),
        ],
    )
    def test_what_contradicts_itself_is_refused(self, knobs, message):
        with pytest.raises(ValueError, match=message):
            Protocol(**knobs)

    def test_only_an_image_has_a_width(self):
        with pytest.raises(ValueError, match="two spatial dimensions"):
            deletion(lambda x: x.sum(1), torch.ones(1, 4), torch.ones(1, 4), protocol=Protocol(step_size="width"))


class TestRandomTies:
    """One additive example with ties: the mean over random orders is that of the whole group at once."""

    X, MAPS = torch.arange(24.0).reshape(2, 12).double(), torch.tensor([[1.0] * 5 + [0] * 7, [2.0] * 12])

    def run(self, seed=0, part=slice(None), **knobs):
        protocol = Protocol(step_size=1, ties="random", **knobs)
        rng = np.random.default_rng(seed)
        return deletion(lambda x: x.sum(1), self.X[part], self.MAPS[part], protocol=protocol, rng=rng)

    def test_the_mean_over_orders_is_that_of_the_group(self):
        expected = deletion(lambda x: x.sum(1), self.X, self.MAPS)
        spread = torch.stack([self.run(seed) for seed in range(60)])
        many = self.run(n_orders=400)
        assert (spread.std(0) > 0).all()
        assert (abs(many - expected) < 4 * spread.std(0) / 400**0.5).all()

    def test_an_example_does_not_depend_on_its_batch(self):
        whole = self.run(3, n_orders=2)
        assert torch.equal(self.run(3, slice(1, 2), n_orders=2), whole[1:])
        assert torch.equal(self.run(3, n_orders=2), whole)
        assert (self.run(4, n_orders=2) != whole).any()

    def test_regions_of_unequal_size_may_be_drawn_too(self):
        labels = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 4, 4])
        protocol = Protocol(step_size=1, ties="random", n_orders=300)
        areas = deletion(lambda x: x.sum(1), self.X, torch.ones(2, 12), feature_mask=labels, protocol=protocol,
                         return_curve=True)  # fmt: skip
        group = deletion(lambda x: x.sum(1), self.X, torch.ones(2, 12), feature_mask=labels)
        torch.testing.assert_close(areas.auc, group, rtol=0.05, atol=0)
        assert torch.equal(areas.curve[:, 0], self.X.sum(1))
