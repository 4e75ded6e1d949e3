"""Every public name of `xai_ext.anomaly` with tiny detectors and odd arguments."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import anomaly_calls as calls
from tests.fuzz.odd import DOCUMENTED, bits, driven, maybe
from xai_ext import anomaly
from xai_ext.anomaly import DetectorScore, as_score

# names -> how they are driven
CALLS = {
    "AnomalyScore ReconstructionScore FrozenScore ReferenceCheck ScoreInfo Calibration": calls.reconstruction,
    "closed_form": calls.closed_form,
    "surrogate": calls.surrogate,
    "DetectorScore NoMapError NotDifferentiableError": calls.callables,
    "as_score": calls.estimators,
    "Constant MeanNormal NearestNormal Reconstruction": calls.references,
    "evidence": calls.evidence,
    "RightReason right_reason": calls.right_reason,
    "normal_deviations": calls.deviations,
    " ".join(("Reducer", *calls.KINDS)): calls.reducers,
    "TextureDefects texture_defects": calls.textures,
}
METHODS = {"closed_form", "surrogate"}


def function(name):
    """What makes the score, where the call says no more."""
    makers = {"as_score": as_score, "DetectorScore NoMapError NotDifferentiableError": DetectorScore.from_callable}
    return makers.get(name, lambda: None)


def test_every_public_name_is_driven():
    names = {one for name in CALLS for one in name.split()}
    assert names - METHODS | {"VAEGAN", "train_vae_gan"} == set(anomaly.__all__)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of odd scores, while they are drawn
@pytest.mark.parametrize("name", CALLS, ids=lambda name: name.split()[0])
def test_a_call_is_answered_as_documented_or_refused_in_our_words(name):
    driven(CALLS[name], function(name))


@settings(max_examples=min(settings().max_examples, 60) // 5)
@given(st.data())
def test_a_network_is_trained_or_refused_in_our_words(tmp_path_factory, data):
    draw = data.draw
    side, channels = draw(st.sampled_from([8, 16])), draw(st.integers(1, 2))
    shape = (maybe(draw, st.integers(2, 5), st.just(1)), channels, side, maybe(draw, st.just(side), st.just(9), 9))
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    x = maybe(draw, st.just(x), st.sampled_from([x * 3, x * torch.nan, x[0], x > 0.5, x.double(), x.bfloat16()]), 3)
    kwargs = {"epochs": draw(st.integers(0, 2))}
    kwargs["batch_size"] = maybe(draw, st.integers(2, 4), st.sampled_from([1, 0]), 9)
    kwargs |= {"augment": draw(st.sampled_from([None, True, False])), "device": "cpu"}
    state, before = torch.random.get_rng_state(), x.clone()
    try:
        network = anomaly.train_vae_gan(x, draw(st.sampled_from(["small", "small", "small_gan"])), **kwargs)
    except DOCUMENTED as error:
        assert str(error)
        return
    finally:
        assert torch.equal(torch.random.get_rng_state(), state)
        assert bits(x) == bits(before)
    assert len(network.history) == kwargs["epochs"]
    made = network(x.float())
    assert made.shape == x.shape
    assert bool(((made >= 0) & (made <= 1)).all())
    path = tmp_path_factory.mktemp("network") / "network.safetensors"
    network.save(path)
    assert torch.equal(anomaly.VAEGAN.load(path)(x.float()), made)
