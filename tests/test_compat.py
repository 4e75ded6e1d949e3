"""The hosts' names and signatures that this package relies on: a changed host is noticed here."""

import inspect

import pytest
import shap

from xai_ext import _captum_compat, _shap_compat


def parameters(function):
    return tuple(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (_captum_compat.progress, ("iterable", "desc", "total", "file", "mininterval", "kwargs")),
        (_captum_compat.log_usage, ("log_args", "log_kwargs")),
        (_captum_compat.get_exp_kernel_similarity_function, ("distance_mode", "kernel_width")),
        (_shap_compat.Serializer, ("out_stream", "block_name", "version")),
        (_shap_compat.Deserializer, ("in_stream", "block_name", "min_version", "max_version")),
        (_shap_compat.ShapMaskedModel, ("model", "masker", "link", "linearize_link", "args")),
        (_shap_compat.OpChain.apply, ("self", "obj")),
        (
            shap.Explainer.__init__,
            ("self", "model", "masker", "link", "algorithm", "output_names", "feature_names", "linearize_link",
             "seed", "kwargs"),
        ),
        (
            shap.Explainer.__call__,
            ("self", "args", "max_evals", "main_effects", "error_bounds", "batch_size", "outputs", "silent", "kwargs"),
        ),
        (
            shap.Explainer.explain_row,
            ("self", "row_args", "max_evals", "main_effects", "error_bounds", "outputs", "silent", "kwargs"),
        ),
        (shap.Explainer.save, ("self", "out_file", "model_saver", "masker_saver")),
        (shap.Explainer.load, ("in_file", "model_loader", "masker_loader", "instantiate")),
    ],
    ids=lambda v: getattr(v, "__qualname__", "") if callable(v) else "",
)  # fmt: skip
def test_the_host_has_not_changed(function, expected):
    got = parameters(function)
    assert got == expected, f"host changed: {function.__qualname__}{got}, expected {expected}"
