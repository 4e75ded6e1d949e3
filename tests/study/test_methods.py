"""Methods by name."""

import numpy as np
import pytest

from xai_ext.study.methods import all_methods, choose_methods


def names(wanted):
    return [m.name for m in choose_methods(wanted)]


def test_groups_globs_and_removal():
    everything = [m.name for m in all_methods()]
    assert names("default") == names("all") == everything
    assert names("ours") == ["stratified_lime", "kernelshap", "bpt_owen", "axis_aligned_owen", "rise", "iassa"]
    assert names("captum.L*") == ["captum.Lime", "captum.LayerGradCam"]
    assert names("captum, -captum.*GradCam") == [n for n in everything if n.startswith("captum") and "Cam" not in n]
    assert names("-reference") == [n for n in everything if n not in ("random", "random_segments", "center")]
    assert names("lime.image") == ["lime.Image"]


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"did you mean 'captum\.Lime'"):
        choose_methods("captum.Lim")


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
