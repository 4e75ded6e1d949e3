"""The public attribution methods of the package, found in its modules and not listed."""

import importlib
import inspect
import pkgutil

import xai_ext
from xai_ext.explanation import Explanation
from xai_ext.testing.tags import host_of


def public_modules():
    """Every module of the package without an underscore in its path, the battery's own apart."""
    for module in pkgutil.walk_packages(xai_ext.__path__, "xai_ext."):
        parts = module.name.split(".")
        if not any(p.startswith("_") for p in parts) and parts[1] not in ("testing", "study", "cli"):
            yield importlib.import_module(module.name)


def is_method(value):
    """A class that a host would take as one of its own, or a function that returns an Explanation."""
    if inspect.isclass(value):
        try:
            host = host_of(value)
        except TypeError:
            return False
        return host == "lime" or (not inspect.isabstract(value) and (host == "captum" or "explain_row" in dir(value)))
    return inspect.isfunction(value) and inspect.signature(value).return_annotation is Explanation


def methods():
    """Name -> method."""
    found = {}
    for module in public_modules():
        for name, value in vars(module).items():
            ours = getattr(value, "__module__", "").startswith("xai_ext.")
            if not name.startswith("_") and ours and is_method(value):
                found[f"{value.__module__}:{value.__qualname__}"] = value
    return dict(sorted(found.items()))
