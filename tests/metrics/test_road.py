"""Remove and debias, one image at a time."""

import numpy as np
import pytest
import torch

from tests.laws import GeneratorsUntouched
from tests.metrics.examples import Spy, examples
from tests.metrics.laws import world
from xai_ext.metrics import LinearImputer, Status, road
from xai_ext.metrics._ranking import top_mask

SHARES = (0.1, 0.5, 0.9)


def model(images):
    flat = images.flatten(1)
    return torch.stack([flat.sum(1), flat.amax(1), flat[:, ::2].sum(1)], 1)


def test_scores_are_those_of_images_filled_one_by_one():
    x, maps = examples(3, 2, 6, 5), examples(3, 6, 5, seed=1)
    target = [0, 1, 2]
    found = road(model, x, maps, target=target, percentiles=SHARES, noise=0, solver_tol=1e-8, max_examples_per_batch=4)
    for i in range(3):
        for name, sign in (("morf", 1), ("lerf", -1)):
            ranked = np.argsort(-sign * maps[i].numpy().ravel())
            for j, share in enumerate(SHARES):
                missing = torch.zeros(30, dtype=torch.bool)
                missing[ranked[: int(share * 30 + 0.5)].copy()] = True
                outputs = model(LinearImputer(tol=1e-8)(x[i], missing.reshape(1, 6, 5)))[0]
                assert getattr(found, name)[i, j].item() == pytest.approx(outputs[target[i]].item(), abs=1e-6)
                hit = float(outputs.argmax() == target[i])
                assert getattr(found, f"accuracy_{name}")[i, j].item() == hit
    torch.testing.assert_close(found.morf_mean, found.morf.mean(1))
    torch.testing.assert_close(found.combined, (found.lerf.mean(1) - found.morf.mean(1)) / 2)
    assert found.n_evals.tolist() == [6, 6, 6]


def test_one_order_costs_half_and_has_no_gap():
    spy = Spy(model)
    found = road(spy, examples(1, 2, 6, 5), examples(1, 6, 5), target=0, order="morf", max_examples_per_batch=4)
    assert len(spy.rows) == 9
    assert found.lerf is found.lerf_mean is found.accuracy_lerf is None
    assert found.combined.isnan().all()


def test_a_score_that_looks_at_other_outputs():
    x, maps = examples(1, 2, 6, 5), examples(1, 6, 5, seed=1)
    plain = road(model, x, maps, target=1, percentiles=SHARES)
    prob = road(model, x, maps, target=1, percentiles=SHARES, score="prob")
    assert ((prob.morf > 0) & (prob.morf < 1)).all()
    assert torch.equal(prob.accuracy_morf, plain.accuracy_morf)


def test_a_model_with_one_output_has_no_accuracy():
    found = road(lambda images: images.flatten(1).sum(1), examples(1, 2, 6, 5), examples(1, 6, 5))
    assert found.accuracy_morf is None
    assert found.morf.isfinite().all()


def test_exactly_that_many_are_removed_whatever_the_ties():
    values = np.zeros(50)
    values[:3] = 1
    for ties in ("stable", "reverse", "random"):
        for k, count in ((0, 0), (7, 7), (0.5, 25), (0.33, 17), (1.0, 50)):
            mask = top_mask(values, k, ties, np.random.default_rng(0))
            assert mask.sum() == count
            assert mask[:3].sum() == min(3, count)
    assert top_mask(values, 5)[:5].all()
    assert top_mask(values, 5, "reverse")[48:].all()
    draws = np.mean([top_mask(values, 5, "random", np.random.default_rng(s))[3:] for s in range(2000)], axis=0)
    np.testing.assert_allclose(draws, 2 / 47, atol=5 * (0.04 / 2000) ** 0.5)
    with pytest.raises(ValueError, match="k must be between 0 and the 50"):
        top_mask(values, 51)


def test_batches_and_names_do_not_matter_and_nothing_is_touched():
    given = world()
    arguments = {"target": given.target, "percentiles": SHARES, "noise": 0.2}
    flat = torch.ones_like(given.maps[:, 0])  # ties alone decide
    with GeneratorsUntouched():
        whole = road(given.model, given.inputs, {"a": given.maps, "flat": flat}, max_examples_per_batch=5, **arguments)
    for i in range(4):
        part = given.part(slice(i, i + 1))
        alone = road(given.model, part.inputs, flat[:1], **(arguments | {"target": part.target}))
        assert torch.equal(alone.morf, whole["flat"].morf[i : i + 1])
    bad = given.maps.clone()
    bad[1, 0, 0, 0] = torch.nan
    found = road(given.model, given.inputs, bad, **arguments)
    assert found.status.tolist() == [Status.OK, Status.NON_FINITE, Status.OK, Status.OK]
    assert found.combined.isnan().tolist() == [False, True, False, False]
    assert torch.equal(found.morf[[0, 2, 3]], whole["a"].morf[[0, 2, 3]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"percentiles": [1.5]}, "shares in 0..1"),
        ({"percentiles": []}, "shares in 0..1"),
        ({"order": "first"}, "order must be one of"),
        ({"ties": "group"}, "ties must be one of"),
        ({"noise": -1.0}, "noise must be at least 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        road(model, examples(1, 2, 6, 5), examples(1, 6, 5), target=0, **options)
