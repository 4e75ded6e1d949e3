"""IASSA's attention: what it may change, how sharp it is, and that nothing of the model's is left changed."""

import numpy as np
import pytest
import torch
from torch import nn

from xai_ext import MaskedModel
from xai_ext.methods._attention import Attended, calibrated, similarity
from xai_ext.methods._windows import all_windows
from xai_ext.methods.iassa import Attention, Level, Schedule, iassa

NOTHING = (all_windows((1,), (1,), (1,)), np.zeros((1, 1)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.second = nn.Conv2d(2, 6, 3, stride=2, padding=1), nn.Conv2d(6, 8, 3, stride=2, padding=1)
        for p in self.parameters():
            p.data = torch.randn(p.shape, generator=generator) * 0.4
        self.calls = 0

    def forward(self, x):
        self.calls += len(x)
        return self.second(torch.relu(self.first(x))).tanh().mean((1, 2, 3))


def net_model(**kwargs):
    return MaskedModel(Net().eval(), torch.randn(1, 2, 32, 24, generator=torch.Generator().manual_seed(1)),
                       batch_size=8, **kwargs)  # fmt: skip


def halves(side=32):
    """An image whose left half is 0 and whose right half is 1."""
    x = torch.zeros(1, 1, side, side)
    x[..., side // 2 :] = 1
    return x


SOURCES = ["features", "image", lambda x: torch.nn.functional.avg_pool2d(x, 2)[0]]


@pytest.mark.parametrize("source", SOURCES, ids=["features", "image", "callable"])
class TestEverySource:
    def test_it_changes_nothing_where_every_window_is_run(self, source):
        schedule = Schedule((Level((8, 8), (4, 4)), Level((4, 4), (4, 4))), region_rule="all")
        plain = iassa(net_model(), schedule, budget=300)
        attended = iassa(net_model(), schedule, budget=300, attention=Attention(source))
        np.testing.assert_array_equal(attended.values, plain.values)
        assert attended.n_evals == plain.n_evals

    def test_weight_one_switches_it_off(self, source):
        plain, off = (iassa(net_model(), budget=200, attention=a) for a in (None, Attention(source, weight=1.0)))
        np.testing.assert_array_equal(off.values, plain.values)

    def test_it_steers_otherwise_and_is_as_sharp_as_asked(self, source):
        plain = iassa(net_model(), budget=200)
        steered = iassa(net_model(), budget=200, attention=Attention(source, weight=0.0))
        regions = [e.diagnostics["levels"][1]["region"] for e in (plain, steered)]
        assert (regions[0] != regions[1]).any()
        cells = np.prod(Attention(source).grid((32, 24)))
        assert steered.diagnostics["n_effective"] == pytest.approx(0.05 * cells, rel=0.02)


def attended_by(x, attention):
    shape = tuple(x.shape[2:])
    matrix = similarity(attention, MaskedModel(lambda i: i.mean((1, 2, 3)), x), shape, NOTHING)
    return calibrated(matrix, attention.grid(shape), attention.neighbours)


class TestMatrix:
    @pytest.mark.parametrize("neighbours", [0.01, 0.05, 0.3])
    def test_rows_sum_to_one_constants_stay_and_sharpness_is_reached(self, neighbours):
        x = torch.rand(1, 3, 40, 30, generator=torch.Generator().manual_seed(0))
        a = attended_by(x, Attention("image", neighbours=neighbours, cells=12))
        np.testing.assert_allclose(a.matrix.sum(1), 1, atol=1e-12)
        np.testing.assert_allclose(a(np.full((40, 30), 3.0)), 3, atol=1e-9)
        entropy = -(a.matrix * np.log(np.maximum(a.matrix, 1e-300))).sum(1)
        assert np.exp(entropy).mean() == pytest.approx(max(1.5, neighbours * 144), rel=0.02)

    def test_two_clusters_of_features_keep_to_themselves(self):
        noise = torch.randn(5, 12, 12, generator=torch.Generator().manual_seed(0)) * 0.5
        left = torch.zeros(5, 12, 12)
        left[0, :, :6], left[1, :, 6:] = 3, 3
        a = attended_by(halves(12), Attention(lambda _: left + noise, cells=12))
        own = np.arange(144) % 12 < 6
        inside = a.matrix[np.ix_(own, own)].sum(1), a.matrix[np.ix_(~own, ~own)].sum(1)
        assert min(v.mean() for v in inside) >= 0.95

    def test_the_likeness_of_features_is_the_correlation_over_cells(self):
        features = np.random.default_rng(0).normal(size=(9, 4)) + 5
        got = similarity(Attention(lambda _: features), MaskedModel(lambda i: i.sum((1, 2, 3)), torch.ones(1, 1, 3, 3)),
                         (3, 3), NOTHING)  # fmt: skip
        centred = features - features.mean(0)
        length = np.linalg.norm(centred, axis=1)
        np.testing.assert_allclose(got, centred @ centred.T / np.outer(length, length), atol=1e-12)

    def test_the_likeness_of_pixels_is_its_formula(self):
        x = torch.rand(1, 2, 4, 3, generator=torch.Generator().manual_seed(0))
        got = similarity(Attention("image"), MaskedModel(lambda i: i.sum((1, 2, 3)), x), (4, 3), NOTHING)
        z = x[0].double().flatten(1).numpy()
        z = (z - z.mean(1, keepdims=True)) / z.std(1, keepdims=True)
        places = [((i + 0.5) / 4, (j + 0.5) / 3) for i in range(4) for j in range(3)]
        for a in range(12):
            for b in range(12):
                far = sum((p - q) ** 2 for p, q in zip(places[a], places[b], strict=True)) / 0.18**2
                assert got[a, b] == pytest.approx(-(((z[:, a] - z[:, b]) ** 2).sum() / 2 + far) / 2)

    def test_the_identity_attends_to_the_map_itself(self):
        image = np.random.default_rng(0).normal(size=(6, 5))
        np.testing.assert_allclose(Attended(np.eye(30), 1.0, 1.0, (6, 5))(image), image, atol=1e-12)

    def test_cells_that_are_all_alike_switch_it_off(self):
        with pytest.warns(UserWarning, match="attention is switched off"):
            assert calibrated(np.zeros((9, 9)), (3, 3), 0.2) is None


class TestModel:
    def test_features_cost_nothing_unless_the_score_is_known_already(self):
        first = net_model()
        explanation = iassa(first, budget=200, attention=Attention("features"))
        assert explanation.n_evals == first.forward.calls <= 200
        known = net_model()
        _ = known.full_value
        explanation = iassa(known, budget=200, attention=Attention("features"))
        assert explanation.n_evals == known.forward.calls <= 200

    def test_the_evaluation_of_known_scores_is_part_of_the_budget(self):
        schedule, known = Schedule((Level((8, 8), (4, 4)),)), net_model()  # 7 * 5 windows
        _ = known.full_value
        with pytest.raises(ValueError, match="needs 35 evaluations"):
            iassa(known, schedule, budget=37, attention=Attention("features"))
        assert iassa(net_model(), schedule, budget=37, attention=Attention("features")).n_evals == 37

    @pytest.mark.parametrize("training", [True, False])
    def test_nothing_of_the_module_changes(self, training):
        model = net_model()
        net = model.forward.train(training)
        iassa(model, budget=100, attention=Attention("features"))
        assert not any(m._forward_hooks for m in net.modules())
        assert net.training is training
        assert all(p.grad is None and p.requires_grad for p in net.parameters())

    def test_layers_are_named_or_given(self):
        by_name = iassa(net_model(), budget=200, attention=Attention("features", layers=("second",)))
        model = net_model()
        given = iassa(model, budget=200, attention=Attention("features", layers=(model.forward.second,)))
        np.testing.assert_array_equal(by_name.values, given.values)

    def test_tokens_are_put_on_their_grid(self):
        class Tokens(nn.Module):
            def __init__(self):
                super().__init__()
                self.mix = nn.Linear(16, 5)

            def forward(self, x):
                patches = x.unfold(2, 4, 4).unfold(3, 4, 4).reshape(len(x), 16, 16)
                return self.mix(torch.cat([patches[:, :1], patches], 1)).sum((1, 2))

        model = MaskedModel(Tokens(), torch.rand(1, 1, 16, 16), batch_size=4)
        explanation = iassa(model, budget=100, attention=Attention("features", neighbours=0.3))
        assert explanation.diagnostics["n_effective"] is not None

    def test_outputs_that_are_no_maps_are_no_features(self):
        class Pair(nn.Module):
            def forward(self, x):
                return x, x.flatten(1)[:, :7]  # a tuple

        class Seven(nn.Module):
            def forward(self, x):
                return x.reshape(len(x), 7, -1).double()  # tokens on no square, nor without the first

        class Plain(nn.Module):
            def __init__(self):
                super().__init__()
                self.pair, self.seven, self.whole = Pair(), Seven(), nn.Identity()

            def forward(self, x):
                return self.seven(self.pair(x)[0][..., :14]).mean((1, 2)) + self.whole(x.long()).sum((1, 2, 3))

        model = MaskedModel(Plain(), torch.rand(1, 1, 16, 16), batch_size=4)
        with pytest.raises(ValueError, match="no layer has an output of shape"):
            iassa(model, budget=100, attention=Attention("features"))

    def test_responses_of_many_outputs_are_mean_drops_at_each_cell(self):
        def forward(x):
            return torch.cat([x[:, 0, ::4, ::4].flatten(1), torch.ones(len(x), 1)], 1)

        model = MaskedModel(forward, torch.ones(1, 1, 16, 16), batch_size=4)
        explanation = iassa(model, Schedule.geometric((16, 16), 0.3), budget=200, attention=Attention("responses"))
        assert explanation.values.shape == (256, 17)
        assert explanation.diagnostics["n_effective"] is not None

    def test_smoothing_the_output_changes_the_map_not_its_error(self):
        plain, smooth = (
            iassa(net_model(), budget=200, attention=Attention("image", smooth_output=s)) for s in (False, True)
        )
        assert (plain.values != smooth.values).any()
        np.testing.assert_array_equal(plain.std_error, smooth.std_error)


class TestErrors:
    def test_features_of_a_function(self):
        model = MaskedModel(lambda x: x.mean((1, 2, 3)), torch.rand(1, 1, 16, 16))
        with pytest.raises(ValueError, match="needs a torch module"):
            iassa(model, attention=Attention("features"))

    def test_a_module_without_maps(self):
        model = MaskedModel(nn.Sequential(nn.Flatten(), nn.Linear(256, 1)), torch.rand(1, 1, 16, 16))
        with pytest.raises(ValueError, match="no layer has an output"):
            iassa(model, attention=Attention("features"))

    def test_an_unknown_layer(self):
        with pytest.raises(ValueError, match="no layer 'third'"):
            iassa(net_model(), attention=Attention("features", layers=("third",)))

    def test_too_few_responses(self):
        with pytest.raises(ValueError, match="at least 10 outputs, got 1"):
            iassa(net_model(), attention=Attention("responses"))

    def test_features_of_an_impossible_shape(self):
        with pytest.raises(ValueError, match="must return features"):
            iassa(net_model(), attention=Attention(lambda x: torch.ones(7, 3)))

    def test_several_inputs(self):
        x = (torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8))
        with pytest.raises(ValueError, match="attention needs one input"):
            iassa(MaskedModel(lambda a, b: (a + b).mean((1, 2, 3)), x), attention=Attention("image"))
