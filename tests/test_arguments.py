"""Captum's argument forms."""

import numpy as np
import pytest
import torch

from xai_ext._arguments import (
    as_tuple,
    batch_size,
    example_args,
    format_baselines,
    format_labels,
    format_targets,
)

X = torch.arange(12.0).reshape(2, 2, 3)


class TestInputs:
    def test_a_tensor_becomes_a_tuple(self):
        assert as_tuple(X)[0] is X

    def test_an_array_is_refused_with_the_fix(self):
        with pytest.raises(TypeError, match=r"torch\.as_tensor"):
            as_tuple(np.zeros((1, 3)))

    def test_a_0d_tensor_is_refused_with_the_fix(self):
        with pytest.raises(ValueError, match=r"x\[None\]"):
            as_tuple(torch.tensor(1.0))

    def test_no_example_is_an_error(self):
        with pytest.raises(ValueError, match="no example"):
            batch_size((torch.zeros(0, 3),))


class TestBaselines:
    def test_none_is_zero_in_the_inputs_dtype(self):
        (b,) = format_baselines(None, (X.long(),))
        assert b.dtype == torch.int64
        assert b.shape == (1, 2, 3)
        assert not b.any()

    def test_one_number_serves_all_inputs(self):
        a, b = format_baselines(3, (X, X.long()))
        assert (a == 3).all()
        assert (b == 3).all()

    def test_a_callable_gets_the_inputs_in_their_form(self):
        (b,) = format_baselines(lambda x: x + 1, (X,))
        assert torch.equal(b, X + 1)
        a, b = format_baselines(lambda xs: (xs[0] + 1, 0), (X, X))
        assert torch.equal(a, X + 1)
        assert not b.any()

    @pytest.mark.parametrize("shape", [(3, 2, 3), (2, 3), (2, 2, 4)])
    def test_another_shape_is_an_error(self, shape):
        with pytest.raises(ValueError, match="a baseline tensor must have the input's shape"):
            format_baselines(torch.zeros(shape), (X,))

    def test_a_missing_entry_is_an_error(self):
        with pytest.raises(ValueError, match="one entry per input"):
            format_baselines((0,), (X, X))

    def test_a_string_is_a_type_error(self):
        with pytest.raises(TypeError, match="a baseline must be a number or a tensor"):
            format_baselines("blur", (X,))


class TestLabels:
    @pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 2, 3), (2, 2, 3), (2, 1, 3), (2, 1)])
    def test_shapes_broadcast_from_the_right(self, shape):
        (labels,) = format_labels(torch.zeros(shape, dtype=torch.uint8), (X,))
        assert labels.dtype == torch.int64
        assert labels.dim() == 3

    @pytest.mark.parametrize("shape", [(2,), (4, 2, 3), (3, 3), (1, 1, 2, 3)])
    def test_other_shapes_are_errors(self, shape):
        with pytest.raises(ValueError, match="does not broadcast from the right"):
            format_labels(torch.zeros(shape, dtype=torch.long), (X,))

    def test_none_stays_none(self):
        assert format_labels(None, (X,)) is None


class TestTargets:
    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            (None, [None, None]),
            (3, [3, 3]),
            ((1, 2), [(1, 2), (1, 2)]),
            (torch.tensor(3), [3, 3]),
            (torch.tensor([3]), [3, 3]),
            (torch.tensor([[3]]), [3, 3]),
            ([1, 2], [1, 2]),
            (torch.tensor([1, 2]), [1, 2]),
            ([(1, 2), (0, 1)], [(1, 2), (0, 1)]),
        ],
    )
    def test_every_form_becomes_one_index_per_example(self, target, expected):
        assert format_targets(target, 2) == expected

    @pytest.mark.parametrize("target", [[1, 2, 3], torch.tensor([1, 2, 3])])
    def test_another_length_is_an_error(self, target):
        with pytest.raises(ValueError, match="one entry per example"):
            format_targets(target, 2)

    @pytest.mark.parametrize("target", [torch.tensor(1.5), torch.zeros(2, 2, dtype=torch.long)])
    def test_other_tensors_are_errors(self, target):
        with pytest.raises(ValueError, match="1-D and of integers"):
            format_targets(target, 2)

    def test_a_string_is_a_type_error(self):
        with pytest.raises(TypeError, match="target must be an int"):
            format_targets("cat", 2)


def test_only_tensors_with_a_row_per_example_are_sliced():
    rows, table, word = torch.rand(2, 4), torch.rand(7), "word"
    sliced, same_table, same_word = example_args((rows, table, word), 2, 1)
    assert torch.equal(sliced.expanded(3), rows[1:].expand(3, 4))
    assert same_table is table
    assert same_word is word
