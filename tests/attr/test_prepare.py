"""A copy of a network in which every call of an activation has a module of its own."""

import gc
import importlib.util
import weakref

import captum.attr as ca
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.vision import import_torchvision
from xai_ext._captum_compat import RESCALE_RULES
from xai_ext.attr._prepare import ClampedReLU, prepare, prepared, rescale_rules, same_layer

pytestmark = [  # of Captum, on hooks and gradients that it sets and removes
    pytest.mark.filterwarnings("ignore:.*hooks"), pytest.mark.filterwarnings("ignore:Input Tensor"),
]  # fmt: skip
X = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """One ReLU6 used twice, an in-place ReLU, functional ones, and a residual connection."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.act, self.inplace = nn.ReLU6(), nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.act(3 * self.one(x))
        y = self.act(3 * self.two(y))
        return self.inplace(F.relu(y - 1, inplace=True) + x - 0.2).relu()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(3, 4, 3), Block(), nn.Linear(4, 3)
        self.gate = nn.SiLU()

    def forward(self, x):
        return self.head(torch.tanh(self.gate(self.block(self.stem(x)))).mean((2, 3)))


def net(dtype=torch.float32):
    torch.manual_seed(0)
    return Net().eval().to(dtype)


def test_outputs_are_bit_equal_and_parameters_are_shared():
    module = net()
    found = prepare(module, X)
    assert found.note == "prepared: 7 calls of activations have modules of their own"
    assert torch.equal(found.module(X), module(X))
    assert {id(p) for p in found.module.parameters()} == {id(p) for p in module.parameters()}


def test_every_activation_is_called_once_and_writes_nothing_in_place():
    calls = []
    copy = prepare(net(), X).module
    for name, part in copy.named_modules():
        if isinstance(part, nn.ReLU | nn.SiLU | nn.Tanh):
            part.register_forward_hook(lambda *_, name=name: calls.append(name))
            assert not getattr(part, "inplace", False)
    copy(X)
    assert len(calls) == len(set(calls)) == 7


def returned(module, part):
    """What a part returned last."""
    seen = []
    hook = part.register_forward_hook(lambda _m, _i, output: seen.append(output))
    module(X)
    hook.remove()
    return seen[-1]


def test_layers_keep_their_names_and_the_last_call_keeps_the_activations():
    module = net()
    found = prepare(module, X)
    for name in ("stem", "block.one", "block.two", "head", "block.act", "gate"):
        ours = same_layer(found, module, name, X)
        assert torch.equal(returned(module, module.get_submodule(name)), returned(found.module, ours))
    assert same_layer(found, module, "block.act", X) is found.module.get_submodule("block.act")
    whole_block = same_layer(found, module, "block", X)  # no longer called itself; its last activation is
    assert isinstance(whole_block, nn.ReLU)


def test_a_layer_that_no_module_returns_has_no_counterpart():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())

        def forward(self, x):
            return self.inner(x) + x

    module = nn.Sequential(Sum(), nn.Flatten(), nn.Linear(432, 2)).eval()
    assert same_layer(prepare(module, X), module, "0", X) is None


def test_deep_lift_sums_to_the_gain_to_rounding():
    module, x = net(torch.float64), X[:1].double()
    module.gate = nn.Hardswish()  # SiLU's difference quotient is as exact; this one has corners
    found = prepare(module, torch.cat([x, 0 * x]))
    with rescale_rules():
        values = ca.DeepLift(found.module).attribute(x, 0 * x, target=1)
    gain = (module(x) - module(0 * x))[0, 1].item()
    assert abs(values.sum().item() - gain) <= 1e-10 * abs(gain)


class Entangled(nn.Module):
    """The input of an activation is used twice."""

    def __init__(self):
        super().__init__()
        self.inner, self.act = nn.Linear(4, 4), nn.ReLU()

    def forward(self, x):
        x = self.inner(x)
        return self.act(x) + x


def in_a_row():
    return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Sigmoid(), nn.Linear(4, 2))


@pytest.mark.parametrize("make", [Entangled, in_a_row])
def test_gradients_of_tensors_with_several_uses_are_kept(make):
    torch.manual_seed(0)
    module = make().double().eval()
    x = 3 * torch.randn(1, 4, dtype=torch.float64)
    gain = (module(x) - module(0 * x))[0, 0].item()
    as_is = ca.DeepLift(module).attribute(x, 0 * x, target=0).sum().item()
    ours = ca.DeepLift(prepare(module, x).module).attribute(x, 0 * x, target=0).sum().item()
    assert as_is != pytest.approx(gain, rel=0.01)  # why the copy is needed
    assert ours == pytest.approx(gain, rel=1e-12)


@pytest.mark.parametrize("kind", [nn.ReLU6, nn.Hardtanh, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid])
def test_every_added_rule_closes_the_gap(kind):
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(4, 8), kind(), nn.Linear(8, 2)).double().eval()
    x = 5 * torch.randn(1, 4, dtype=torch.float64)
    found = prepare(module, torch.cat([x, 0 * x]))
    with rescale_rules():
        values = ca.DeepLift(found.module).attribute(x, 0 * x, target=0)
    gain = (module(x) - module(0 * x))[0, 0].item()
    assert values.sum().item() == pytest.approx(gain, rel=1e-12)


def raising_under_the_rules():
    with rescale_rules():
        assert ClampedReLU in RESCALE_RULES
        raise RuntimeError("mine")


def test_captums_table_is_restored_also_after_an_exception():
    before = dict(RESCALE_RULES)
    with pytest.raises(RuntimeError, match="mine"):
        raising_under_the_rules()
    assert before == RESCALE_RULES
    assert nn.ReLU6 not in RESCALE_RULES


def test_guided_backpropagation_sees_relu6():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(400, 2)).eval()
    gradient = ca.Saliency(module).attribute(X.clone().requires_grad_(), target=0, abs=False)
    as_is = ca.GuidedBackprop(module).attribute(X.clone().requires_grad_(), target=0)
    guided = ca.GuidedBackprop(prepare(module, X).module).attribute(X.clone().requires_grad_(), target=0)
    assert torch.equal(as_is, gradient)  # why the copy is needed
    assert not torch.allclose(guided, gradient)


def test_settings_of_activations_come_along():
    module = nn.Sequential(nn.LeakyReLU(0.3), nn.Hardtanh(-0.5, 0.25), nn.GELU("tanh"), nn.ELU(2.0)).eval()
    found = prepare(module, X)
    assert found.note.startswith("prepared")
    assert torch.equal(found.module(X), module(X))


class Branching(nn.Module):
    def forward(self, x):
        return x.relu() if x.sum() > 0 else -x.relu()


class Counting(nn.Module):
    """Traced, its step is a constant."""

    def __init__(self):
        super().__init__()
        self.step = 0

    def forward(self, x):
        self.step += 1
        return x.relu() + self.step


@pytest.mark.parametrize(("module", "why"), [(Branching(), "cannot be traced"), (Counting(), "gives other outputs")])
def test_what_cannot_be_copied_stays_as_it_is_and_says_why(module, why):
    found = prepare(module.eval(), X)
    assert found.module is module
    assert found.note.startswith("as is")
    assert why in found.note


def test_the_original_is_left_alone():
    module = net()
    state, parts = {k: v.clone() for k, v in module.state_dict().items()}, dict(module.named_modules())
    prepare(module, X)
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())
    assert dict(module.named_modules()) == parts
    assert isinstance(module.block.act, nn.ReLU6)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_it_is_remembered_as_long_as_the_network_lives():
    module = net()
    first = prepared(module, X)
    assert prepared(module, X) is first
    dead = weakref.ref(module)
    del module, first
    gc.collect()
    assert dead() is None


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of torchvision's import
@pytest.mark.parametrize("name", ["resnet50", "vgg16", "mobilenet_v2", "densenet121"])
def test_torchvisions_networks(name):
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("needs torchvision")
    models = import_torchvision().models
    torch.manual_seed(0)
    module = models.get_model(name, weights=None).eval().double()
    x = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    found = prepare(module, torch.cat([x, 0 * x]))
    with rescale_rules():
        values = ca.DeepLift(found.module).attribute(x, 0 * x, target=0)
    gain = (module(x) - module(0 * x))[0, 0].item()
    assert abs(values.sum().item() - gain) <= 1e-9 * abs(gain)
