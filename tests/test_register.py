"""The names of our explainers in shap.Explainer."""

import functools
import inspect
import subprocess
import sys

import numpy as np
import pytest
import shap
from shap.utils._exceptions import InvalidAlgorithmError
from sklearn.linear_model import LinearRegression

import xai_ext
from xai_ext import _register, explainers
from xai_ext.explainers import BPTOwen, StratifiedLime
from xai_ext.explainers._base import RegionExplainer
from xai_ext.maskers import BPT

X = np.random.default_rng(0).random((2, 6, 8, 3))
TABLE = np.random.default_rng(1).random((20, 4))
CONSTRUCTOR = shap.Explainer.__init__


def model(images):
    return images.mean((1, 2, 3))[:, None] * [1.0, 2.0]


def linear(rows):
    return rows @ np.arange(4.0)


PAIRS = [
    (model, BPT(X[0])),
    (model, shap.maskers.Image(np.zeros((6, 8, 3)), (6, 8, 3))),
    (linear, TABLE),
    (linear, shap.maskers.Partition(TABLE)),
    (LinearRegression().fit(TABLE, TABLE @ np.arange(4.0)), shap.maskers.Independent(TABLE)),
]


@pytest.fixture(autouse=True)
def as_shipped():
    """Each test starts and ends with SHAP's own constructor."""
    assert shap.Explainer.__init__ is CONSTRUCTOR
    yield
    shap.Explainer.__init__ = CONSTRUCTOR
    _register._explainers.clear()
    _register._in_chain.clear()


def is_registered():
    try:
        explainer = shap.Explainer(model, BPT(X[0]), algorithm="bpt_owen")
    except InvalidAlgorithmError:
        return False
    return type(explainer) is BPTOwen


class TestNames:
    @pytest.mark.parametrize("name", explainers.__all__)
    def test_every_explainer_is_known_by_its_algorithm(self, name):
        cls = getattr(explainers, name)
        with xai_ext.registered():
            assert type(shap.Explainer(model, BPT(X[0]), algorithm=cls.algorithm)) is cls

    def test_no_explainer_is_missing(self):
        assert {getattr(explainers, name) for name in explainers.__all__} == set(RegionExplainer.__subclasses__())

    def test_arguments_arrive_by_position_and_name(self):
        xai_ext.register()
        names = ["a", "b"]
        explainer = shap.Explainer(model, BPT(X[0]), shap.links.logit, "bpt_owen", names, None, False, 5, trees=3)
        assert (explainer.link, explainer.output_names, explainer.linearize_link) == (shap.links.logit, names, False)
        assert (explainer.seed, explainer.trees) == (5, 3)

    def test_the_explanation_is_that_of_the_class(self):
        xai_ext.register()
        named, direct = (
            e(X, max_evals=30, silent=True).values
            for e in (shap.Explainer(model, BPT(X[0]), algorithm="bpt_owen"), BPTOwen(model, BPT(X[0])))
        )
        np.testing.assert_array_equal(named, direct)

    def test_our_errors_are_ours_and_shaps_are_shaps(self):
        xai_ext.register()
        with pytest.raises(TypeError, match="unexpected keyword arguments"):
            shap.Explainer(model, BPT(X[0]), algorithm="bpt_owen", treees=3)
        with pytest.raises(InvalidAlgorithmError):
            shap.Explainer(model, BPT(X[0]), algorithm="bpt")
        with pytest.raises(TypeError, match="model"):
            shap.Explainer(algorithm="bpt_owen")


class TestShapStaysTheSame:
    @pytest.mark.parametrize("pair", PAIRS, ids=["BPT", "Image", "array", "Partition", "linear"])
    def test_auto_chooses_as_before(self, pair):
        before = type(shap.Explainer(*pair))
        with xai_ext.registered():
            assert type(shap.Explainer(*pair)) is before

    def test_subclasses_are_not_looked_at(self):
        with xai_ext.registered():
            assert type(StratifiedLime(model, BPT(X[0]))) is StratifiedLime
            assert type(shap.PartitionExplainer(model, BPT(X[0]))) is shap.PartitionExplainer

    def test_the_constructor_keeps_its_signature_and_doc(self):
        with xai_ext.registered():
            assert inspect.signature(shap.Explainer.__init__) == inspect.signature(CONSTRUCTOR)
            assert shap.Explainer.__init__.__doc__ == CONSTRUCTOR.__doc__


class TestUndoing:
    def test_twice_on_and_once_off_restores_the_very_function(self):
        xai_ext.register()
        ours = shap.Explainer.__init__
        xai_ext.register()
        assert shap.Explainer.__init__ is ours is not CONSTRUCTOR
        assert is_registered()
        xai_ext.unregister()
        assert shap.Explainer.__init__ is CONSTRUCTOR
        assert not is_registered()

    def test_off_without_on_does_nothing(self):
        xai_ext.unregister()
        assert shap.Explainer.__init__ is CONSTRUCTOR

    def test_blocks_nest_and_leave_what_they_found(self):
        with xai_ext.registered():
            with xai_ext.registered():
                assert is_registered()
            assert is_registered()
        assert shap.Explainer.__init__ is CONSTRUCTOR
        xai_ext.register()
        with xai_ext.registered():
            xai_ext.unregister()
        assert is_registered()

    def test_an_error_inside_a_block_is_no_reason_to_stay(self):
        with pytest.raises(KeyError, match="mine"), xai_ext.registered():
            raise KeyError("mine")
        assert shap.Explainer.__init__ is CONSTRUCTOR


class TestForeignWrappers:
    @staticmethod
    def wrap():
        inner, calls = shap.Explainer.__init__, []

        @functools.wraps(inner)
        def foreign(self, *args, **kwargs):
            calls.append(kwargs.get("algorithm"))
            inner(self, *args, **kwargs)

        shap.Explainer.__init__ = foreign
        return foreign, calls

    def test_one_that_came_before_is_called_and_restored(self):
        foreign, calls = self.wrap()
        xai_ext.register()
        shap.Explainer(model, BPT(X[0]), algorithm="partition")
        assert "partition" in calls
        xai_ext.unregister()
        assert shap.Explainer.__init__ is foreign

    def test_one_that_came_after_is_kept_and_ours_sleeps_below_it(self):
        xai_ext.register()
        foreign, calls = self.wrap()
        xai_ext.unregister()
        assert shap.Explainer.__init__ is foreign
        assert not is_registered()
        xai_ext.register()
        assert shap.Explainer.__init__ is foreign
        assert is_registered()
        assert calls.count("bpt_owen") >= 2

    def test_after_it_was_taken_away_with_ours_below_we_wrap_again(self):
        xai_ext.register()
        self.wrap()
        xai_ext.unregister()
        shap.Explainer.__init__ = CONSTRUCTOR
        xai_ext.register()
        assert is_registered()
        xai_ext.unregister()
        assert shap.Explainer.__init__ is CONSTRUCTOR


def test_a_constructor_with_other_parameters_is_refused_and_left_alone():
    def changed(self, model, masker=None, algorithm="auto"):
        raise NotImplementedError

    shap.Explainer.__init__ = changed
    with pytest.raises(RuntimeError, match=r"use the classes directly, .*xai_ext\.explainers\.BPTOwen"):
        xai_ext.register()
    assert shap.Explainer.__init__ is changed


def test_nothing_happens_on_import_and_unregister_imports_no_host():
    script = "import sys, xai_ext; xai_ext.unregister(); print('shap' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
