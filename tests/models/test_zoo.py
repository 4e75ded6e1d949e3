"""Models by name."""

import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from xai_ext.models import Classifier, load
from xai_ext.models.zoo import imagenet_class_names


@pytest.mark.parametrize("name", ["resnet", "efficientnet_lite9", ""])
def test_an_unknown_name_lists_the_known(name):
    with pytest.raises(ValueError, match="known: efficientnet_lite0"):
        load(name)


@pytest.mark.parametrize(("name", "package"), [("torchvision:resnet18", "torchvision"), ("timm:resnet18", "timm")])
def test_a_missing_or_broken_package_names_its_extra(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=r"xai-ext\[vision\]"):
        load(name)


def test_random_weights_only_when_asked_for():
    with pytest.raises(ValueError, match="only 'none'"):
        load("torchvision:resnet18@random")


class TestCallable:
    @pytest.fixture
    def module(self, monkeypatch):
        module = types.ModuleType("users_models")
        module.network = lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3)).train()
        module.classifier = lambda: Classifier(nn.Identity(), lambda image: torch.zeros(1, 3, 2, 2), ["a", "b"])
        module.number = lambda: 3
        monkeypatch.setitem(sys.modules, "users_models", module)

    @pytest.mark.usefixtures("module")
    def test_it_may_return_a_module_or_a_classifier(self):
        made = load("users_models:network")
        assert not made.module.training
        assert made.module(made.preprocess(Image.new("RGB", (300, 260)))).shape == (1, 3)
        assert load("users_models:classifier").class_names == ["a", "b"]

    @pytest.mark.usefixtures("module")
    @pytest.mark.parametrize("name", ["users_models:missing", "no_such_module:f"])
    def test_what_is_not_there_is_an_error(self, name):
        with pytest.raises(ValueError, match="cannot load"):
            load(name)

    @pytest.mark.usefixtures("module")
    def test_something_else_is_an_error(self):
        with pytest.raises(ValueError, match="must return a Classifier or a torch module"):
            load("users_models:number")


def test_a_class_without_a_name_has_its_number():
    assert Classifier(nn.Identity(), None, ["a"]).name_of(0) == "a"
    assert Classifier(nn.Identity(), None, ["a"]).name_of(7) == "class 7"


def test_there_are_1000_class_names():
    names = imagenet_class_names()
    assert len(set(names)) == 1000
    assert (names[0], names[285], names[967]) == ("tench", "Egyptian cat", "espresso")


@pytest.mark.real_model
def test_the_demo_model_knows_an_espresso_and_prints_nothing(capsys):
    import skimage.data

    made = load("efficientnet_lite0")
    scores = made.module(made.preprocess(Image.fromarray(skimage.data.coffee()))).detach()
    assert made.name_of(int(scores.argmax())) == "espresso"
    assert made.output == "logits"
    assert capsys.readouterr().out == ""


class TestDevices:
    def made(self):
        def pixels(photo):
            return np.asarray(photo.resize((4, 4)), np.float32).transpose(2, 0, 1)[None]

        return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), pixels)

    def test_inputs_are_made_where_the_module_is(self):
        photo = Image.new("RGB", (8, 8))
        assert self.made().input_of(photo).device.type == "cpu"
        moved = self.made().on("meta")
        assert moved.device.type == moved.input_of(photo).device.type == "meta"

    def test_without_a_device_it_stays_where_it_is(self):
        made = self.made()
        assert made.on(None) is made

    @pytest.mark.parametrize("device", ["gpu", "cuda:77"])
    def test_a_device_that_is_not_there_is_said(self, device):
        with pytest.raises(ValueError, match=f"the device '{device}' cannot be used .*; fix: --device cpu"):
            self.made().on(device)
