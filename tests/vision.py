"""torchvision, also next to another build of torch."""

import importlib
import sys

import torch

KEPT = []  # a library of operators lives as long as its last reference


def import_torchvision():
    """Its package; where the operators of detection are missing they are declared, and nothing else is."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        KEPT.append(library)
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return importlib.import_module("torchvision")
