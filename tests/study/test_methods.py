"""Methods by name."""

import inspect

import numpy as np
import pytest

from xai_ext.study import Method
from xai_ext.study.methods import all_methods, choose_methods, setting_names


def names(wanted):
    return [m.name for m in choose_methods(wanted)]


def test_groups_globs_and_removal():
    everything = [m.name for m in all_methods()]
    assert names("default") == names("all") == everything
    assert names("ours") == ["stratified_lime", "kernelshap", "bpt_owen", "axis_aligned_owen", "rise", "iassa"]
    assert names("captum.L*") == ["captum.Lime", "captum.LRP", "captum.LayerGradCam"]
    assert names("gradient") == [m.name for m in all_methods() if "gradient" in m.needs] != []
    assert "captum.Saliency" in names("gradient")
    assert names("captum, -captum.*GradCam") == [n for n in everything if n.startswith("captum") and "Cam" not in n]
    assert names("-reference") == [n for n in everything if n not in ("random", "random_segments", "center")]
    assert names("lime.image") == ["lime.Image"]


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"did you mean 'captum\.Lime'"):
        choose_methods("captum.Lim")


class TestSettings:
    def test_the_string_is_the_name_and_the_settings_arrive(self):
        (method,) = choose_methods("rise:cells=7;keep_probability=0.3;estimator=rise")
        assert method.name == "rise:cells=7;keep_probability=0.3;estimator=rise"
        assert method.run.keywords == {"cells": 7, "keep_probability": 0.3, "estimator": "rise"}

    def test_variants_stand_behind_what_they_vary(self):
        assert names("center,captum.Lime,rise:cells=7,rise") == ["rise:cells=7", "rise", "captum.Lime", "center"]

    def test_settings_of_a_file_reach_the_method_without_settings_of_its_own(self):
        found = choose_methods("rise,rise:cells=7", {"rise": {"cells": 3}})
        assert [m.name for m in found] == ["rise:cells=3", "rise:cells=7"]

    @pytest.mark.parametrize(
        ("wanted", "message"),
        [
            ("rise:cels=7", "did you mean 'cells'"),
            ("rsie:cells=7", "did you mean 'rise'"),
            ("rise:cells=", "the value of 'cells' must be"),
            ("rise:cells=7;;=3", "must be KEY=VALUE"),
            ("center:width=3", "center has no settings"),
            ("no_such_module:make", "cannot load the method"),
        ],
    )
    def test_what_is_wrong_is_said(self, wanted, message):
        with pytest.raises(ValueError, match=message):
            choose_methods(wanted)

    def test_defaults_are_those_of_the_classes(self):
        from xai_ext import attr

        classes = {"stratified_lime": attr.StratifiedLime, "bpt_owen": attr.BPTOwen, "rise": attr.RISE,
                   "iassa": attr.IASSA}  # fmt: skip
        for name, kind in classes.items():
            (method,) = choose_methods(name)
            own = inspect.signature(method.run).parameters
            theirs = {**inspect.signature(kind.__init__).parameters, **inspect.signature(kind.explain).parameters}
            for setting in setting_names(method):
                assert own[setting].default == theirs[setting].default, (name, setting)


def test_a_method_of_ones_own():
    mine = Method("mine", "me", "pixels", False, lambda task: None)
    assert [m.name for m in choose_methods(["center", mine])] == ["center", "mine"]
    assert names("tests.tiny_models:broken,center") == ["center", "broken"]
    with pytest.raises(TypeError, match=r"must return an xai_ext\.study\.Method"):
        choose_methods("tests.tiny_models:conv")


def test_a_new_class_of_attr_appears_by_itself(monkeypatch):
    from xai_ext import attr

    new = type("Newest", (attr.RISE,), {"__module__": "xai_ext.attr.newest"})
    monkeypatch.setattr(attr, "Newest", new, raising=False)
    monkeypatch.setattr(attr, "__all__", [*attr.__all__, "Newest"])
    (method,) = choose_methods("newest")
    assert method.host == "xai_ext"


@pytest.mark.parametrize("wanted", ["", " , ", "ours,-ours"])
def test_no_method_is_an_error(wanted):
    with pytest.raises(ValueError, match="no method is left"):
        choose_methods(wanted)


def test_every_method_has_its_own_name_and_a_known_host():
    methods = all_methods()
    assert len({m.name for m in methods}) == len(methods)
    assert {m.host for m in methods} == {"xai_ext", "captum", "shap", "lime", "reference"}


def test_the_centre_blob_is_a_gaussian_of_a_quarter_of_the_side():
    (center,) = choose_methods("center")

    class Task:
        labels = np.zeros((41, 81), int)

    values = center.run(Task()).values
    assert np.unravel_index(values.argmax(), values.shape) == (20, 40)
    assert values[20, 40 + 20] == pytest.approx(np.exp(-((20 / 20.25) ** 2) / 2))
