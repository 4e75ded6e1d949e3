"""Every public entry point under random shapes, dtypes, layouts, masks, targets and budgets."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.strategies import BUDGETS, SEEDS, images, masks_of, merges, tables
from tests.testing.discovery import methods
from xai_ext import Game, MaskedModel
from xai_ext._checks import InputError, InputTypeError
from xai_ext.hierarchies import Hierarchy
from xai_ext.maskers import BPT
from xai_ext.methods.owen import owen
from xai_ext.testing import oracles
from xai_ext.testing._fixtures import GameModel, game_input

CAPTUM = [m for name, m in methods().items() if name.startswith("xai_ext.attr")]
SHAP = [m for name, m in methods().items() if name.startswith("xai_ext.explainers")]
DOCUMENTED = (InputError, InputTypeError)


def scores(x):
    """Three outputs (N, 3) of any input."""
    flat = x.flatten(1).double()
    return torch.stack([flat.sum(1), flat.square().mean(1), flat.amax(1)], 1)


TARGETS = st.sampled_from([None, 0, 2, -1, torch.tensor(1), (1,), 3, "per example"])


@pytest.mark.parametrize("method", CAPTUM)
@given(st.data())
def test_a_captum_class_gives_a_finite_map_or_a_documented_error(method, data):
    x = data.draw(images())
    mask, target = data.draw(masks_of(tuple(x.shape))), data.draw(TARGETS)
    target = [i % 3 for i in range(len(x))] if target == "per example" else target
    kwargs = {
        "n_samples": data.draw(BUDGETS), "seed": data.draw(SEEDS), "feature_mask": mask, "target": target,
        "perturbations_per_eval": data.draw(st.sampled_from([1, 2, 7, None])),
        "baselines": data.draw(st.sampled_from([None, 0, 1, float(x.double().mean())])),
    }  # fmt: skip
    before = x.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = method(scores).attribute(x, **kwargs)
        except DOCUMENTED as error:
            assert str(error)
            return
    assert torch.equal(before, x)
    outputs = (3,) if target is None else ()
    assert found.shape == (len(x), *outputs, *x.shape[1:])
    assert found.dtype == torch.float64
    assert bool(found.isfinite().all())


@pytest.mark.parametrize("method", SHAP)
@given(st.data())
def test_a_shap_class_gives_finite_values_or_a_documented_error(method, data):
    h, w, c = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)))
    rng = np.random.default_rng(data.draw(SEEDS))
    rows = rng.random((data.draw(st.integers(1, 2)), h, w, c)).astype(data.draw(st.sampled_from(["f4", "f8", "u1"])))
    labels = data.draw(st.sampled_from([None, rng.integers(0, 3, (h, w)), np.zeros((h, w), int)]))
    outputs = data.draw(st.sampled_from([None, [0], [1, 0], [5]]))

    def function(images):
        flat = images.reshape(len(images), -1).astype(float)
        return np.stack([flat.sum(1), flat.max(1)], 1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            explainer = method(function, BPT(rows[0], 0.0, labels), seed=0)
            found = explainer(rows, max_evals=data.draw(BUDGETS), outputs=outputs, silent=True)
        except DOCUMENTED:
            return
    assert found.values.shape == (len(rows), h, w, 1, 2 if outputs is None else len(outputs))
    assert np.isfinite(found.values).all()


@given(st.data())
def test_owen_values_are_those_of_the_definition_and_always_complete(data):
    n = data.draw(st.integers(1, 6))
    table, tree = data.draw(tables(n)), data.draw(merges(n))
    x, labels = game_input(n)
    hierarchy = Hierarchy.from_merges(tree) if n > 1 else None
    assume(hierarchy is not None)
    batch = data.draw(st.sampled_from([1, 3, 50]))
    budget, scale = data.draw(BUDGETS), np.abs(table).max() + 1e-300
    found = owen(Game(MaskedModel(GameModel(table), x, batch_size=batch), labels), hierarchy, budget=budget)
    assert abs(found.values.sum() - (table[-1] - table[0])) <= 1e-9 * scale
    assert found.n_evals <= budget
    if budget >= 2 ** (n + 1):
        expected = oracles.owen(oracles.value_of(table), tree)
        np.testing.assert_allclose(found.values, expected, atol=1e-9 * scale)


@given(st.data())
def test_a_game_looks_up_its_table_whatever_the_batch(data):
    n = data.draw(st.integers(1, 8))
    table = data.draw(tables(n))
    x, labels = game_input(n)
    game = Game(MaskedModel(GameModel(table), x, batch_size=data.draw(st.integers(1, 40))), labels)
    np.testing.assert_array_equal(game(oracles.all_coalitions(n))[:, 0], table)
