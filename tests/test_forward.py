"""Calling the user's model."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from xai_ext._forward import BoundForward, as_row, numpy_forward, owner, select


class TestSelect:
    output = torch.arange(24.0).reshape(2, 3, 4)

    def test_an_int_or_tuple_indexes_behind_the_rows(self):
        assert torch.equal(select(self.output, 2), self.output[:, 2])
        assert torch.equal(select(self.output, (1, -1)), self.output[:, 1, -1])
        assert select(self.output, None) is self.output

    @pytest.mark.parametrize("target", [3, -4, (0, 4), (0, 0, 0)])
    def test_an_index_outside_is_an_error(self, target):
        with pytest.raises(ValueError, match="does not index an output of shape"):
            select(self.output, target)

    def test_an_object_is_a_type_error_with_the_fix(self):
        with pytest.raises(TypeError, match="LogitsOf"):
            select(object(), 0)

    def test_an_object_for_a_whole_batch_is_the_same_error(self):
        with pytest.raises(TypeError, match="LogitsOf"):
            as_row(object())
        assert torch.equal(as_row(3), torch.tensor([3]))
        assert torch.equal(as_row(np.float32(0.5)), torch.tensor([0.5]))


class TestNumpyForward:
    def test_channels_go_where_the_function_wants_them(self):
        shapes = []

        def function(images):
            shapes.append(images.shape)
            return images.reshape(len(images), -1).sum(1)

        x = torch.rand(2, 3, 4, 5)
        for layout in ("channels_last", "channels_first"):
            np.testing.assert_allclose(numpy_forward(function, layout)(x), x.sum((1, 2, 3)), rtol=1e-6)
        assert shapes == [(2, 4, 5, 3), (2, 3, 4, 5)]


def test_the_owner_is_what_is_behind_wrappers():
    module = nn.Linear(2, 2)

    def function(images):
        return images

    assert owner(BoundForward(module)) == (module, "")
    assert owner(functools.partial(BoundForward(module, 3), 1))[0] is module
    assert owner(module.forward) == (module, "forward")
    assert owner(numpy_forward(function))[0] is function


@pytest.mark.parametrize("answer", [None, "abc", [1j]])
def test_an_answer_without_real_numbers_is_refused(answer):
    with pytest.raises(TypeError, match="the model must return an array of real numbers"):
        numpy_forward(lambda images: answer)(torch.ones(1, 2, 3, 3))
