"""A random sequence of calls, failures, interrupts and mode changes leaves the user's model as it was."""

import warnings

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from xai_ext import MaskedModel
from xai_ext.testing import _fixtures as fixtures
from xai_ext.testing._state import ModelState, differences, generators, grad_state, same_bits


class MaskedModelMachine(RuleBasedStateMachine):
    """Calls of one `MaskedModel`, with a model that sometimes misbehaves."""

    def __init__(self):
        super().__init__()
        self.net = fixtures.net()
        self.spy = fixtures.Spy(self.net)
        self.x = fixtures.images(1)
        self.copy = self.x.clone()
        self.model = MaskedModel(self.spy, self.x, 0.3, batch_size=8)
        self.counted, self.training = 0, False
        self.remember()

    def remember(self):
        self.state, self.modes, self.generators = ModelState.of(self.spy), grad_state(), generators()

    def masks(self, size, seed):
        return torch.from_numpy(np.random.default_rng(seed).random((size, 8, 8)) < 0.5)

    def behave(self, **how):
        vars(self.spy).update({"at": -1, "value": None, "error": None, "limit": None, "calls": []} | how)

    @rule(size=st.integers(0, 20), seed=st.integers(0, 9))
    def call(self, size, seed):
        self.behave()
        scores = self.model(self.masks(size, seed))
        assert len(scores) == size
        self.counted += size
        assert self.spy.rows == size

    @precondition(lambda self: not self.training)
    @rule(size=st.integers(1, 12), seed=st.integers(0, 9))
    def call_twice(self, size, seed):
        self.behave()
        masks = self.masks(size, seed)
        first, second = self.model(masks), self.model(masks)
        np.testing.assert_array_equal(first, second)
        self.counted += 2 * size

    @rule(at=st.integers(0, 7), value=st.sampled_from([float("nan"), float("inf")]))
    def not_finite(self, at, value):
        self.behave(at=at, value=value)
        self.refused(ValueError, 8)

    @rule(error=st.sampled_from([RuntimeError("mine"), KeyboardInterrupt("mine")]), at=st.integers(1, 2))
    def raising(self, error, at):
        self.behave(at=at, error=error)
        self.refused(type(error), 20)

    @rule(limit=st.integers(0, 6))
    def out_of_memory(self, limit):
        self.behave(limit=limit)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if limit == 0:
                self.refused(torch.OutOfMemoryError, 8)
            else:
                assert len(self.model(self.masks(8, 0))) == 8
                self.counted += 8

    @rule(training=st.booleans())
    def change_mode(self, training):
        self.net.train(training)
        self.training = training
        self.remember()

    def refused(self, kind, size):
        try:
            self.model(self.masks(size, 1))
        except kind:
            self.counted = self.model.n_evals  # whole batches before the failure count
            return
        raise AssertionError(f"no {kind.__name__}")

    @invariant()
    def everything_is_as_it_was(self):
        assert self.state.changed(ModelState.of(self.spy)) == []
        assert differences(self.modes, grad_state()) == []
        assert differences(self.generators, generators()) == []
        assert same_bits(self.x, self.copy)
        assert self.model.n_evals == self.counted


TestMaskedModel = MaskedModelMachine.TestCase
TestMaskedModel.settings = settings(settings(), max_examples=min(settings().max_examples, 200), stateful_step_count=30)
