"""Maps, masks and boxes at the size of an image; explanations of SHAP as tensors."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xai_ext.metrics import boxes_to_mask, deletion, from_shap, numpy_forward, resize_map


class TestResizeMap:
    def test_doubling_by_the_nearest_repeats_pixels(self):
        maps = torch.arange(6.0).reshape(1, 2, 3)
        repeated = maps.repeat_interleave(2, 1).repeat_interleave(2, 2)
        assert torch.equal(resize_map(maps, (4, 6), "nearest-exact"), repeated)
        assert torch.equal(resize_map(maps[:, None], (4, 6), "nearest-exact"), repeated[:, None])

    def test_masks_stay_masks_and_keep_their_share(self):
        mask = torch.zeros(1, 9, 9, dtype=torch.bool)
        mask[:, 3:6, :3] = True
        small = resize_map(mask, (3, 3))
        assert small.dtype == torch.bool
        assert small[0].tolist() == [[False] * 3, [True, False, False], [False] * 3]
        assert torch.equal(resize_map(small, (9, 9)), mask)

    def test_aligned_corners_keep_their_values(self):
        maps = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])
        resized = resize_map(maps, (3, 3), align_corners=True)
        assert resized[0].tolist() == [[0, 0.5, 1], [1, 1.5, 2], [2, 2.5, 3]]

    def test_an_array_gives_an_array_and_integers_floats(self):
        maps = np.arange(4).reshape(1, 2, 2)
        resized = resize_map(maps, (1, 1), "area")
        assert isinstance(resized, np.ndarray)
        assert resized.dtype == np.float64
        assert resized.item() == 1.5

    def test_the_own_size_changes_nothing(self):
        maps = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
        np.testing.assert_array_equal(resize_map(maps, (4, 5)), maps)

    @pytest.mark.parametrize(
        ("maps", "size", "mode", "message"),
        [
            (torch.ones(2, 2), (4, 4), "bilinear", r"must be \(B, H, W\)"),
            (torch.ones(1, 2, 2), (4,), "bilinear", "for size"),
            (torch.ones(1, 2, 2), (4, 4), "cubic", "did you mean 'bicubic'"),
            ([[1.0]], (4, 4), "bilinear", "maps must be a tensor or an array"),
        ],
    )
    def test_what_cannot_be_resized_is_refused(self, maps, size, mode, message):
        with pytest.raises((ValueError, TypeError), match=message):
            resize_map(maps, size, mode)


class TestBoxes:
    @pytest.mark.parametrize(
        ("box", "box_format"), [([1, 0, 4, 2], "xyxy"), ([1, 0, 3, 2], "xywh"), ([2, 1, 4, 2], "voc")]
    )
    def test_three_formats_of_one_box(self, box, box_format):
        mask = boxes_to_mask([[box]], (3, 5), box_format)
        assert mask[0].int().tolist() == [[0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]

    def test_boxes_of_an_example_are_united_and_may_be_none(self):
        masks = boxes_to_mask([[[0, 0, 2, 1], [1, 0, 3, 1]], []], (2, 4))
        assert masks.int().tolist() == [[[1, 1, 1, 0], [0] * 4], [[0] * 4, [0] * 4]]

    def test_a_pixel_belongs_where_its_centre_does(self):
        assert boxes_to_mask([[[0.5, 0, 1.5, 1]]], (1, 3)).int().tolist() == [[[1, 0, 0]]]
        assert boxes_to_mask([[[0.6, 0, 2.6, 1]]], (1, 3)).int().tolist() == [[[0, 1, 1]]]

    @pytest.mark.parametrize("box", [[0, 0, 6, 1], [-1, 0, 1, 1], [2, 0, 2, 1], [0, 0, 1, 4]])
    def test_a_box_outside_the_image_or_empty_is_refused(self, box):
        with pytest.raises(ValueError, match="must be inside"):
            boxes_to_mask([[box]], (3, 5))


class TestFromShap:
    def explanation(self, outputs=2, **change):
        rng = np.random.default_rng(0)
        shape = (2, 4, 5, 3)
        parts = {"values": rng.normal(size=(*shape, outputs)), "data": rng.random(shape).astype(np.float32)}
        parts |= {"base_values": np.zeros((2, outputs)), "output_names": ["cat", "dog"][:outputs]}
        return SimpleNamespace(**(parts | change))

    def test_images_come_channels_first(self):
        given = self.explanation()
        inputs, attributions = from_shap(given, output=1)
        np.testing.assert_array_equal(inputs, given.data.transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(attributions, given.values[..., 1].transpose(0, 3, 1, 2))
        assert inputs.dtype == torch.float32

    def test_outputs_have_numbers_and_names(self):
        given = self.explanation()
        assert torch.equal(from_shap(given, "dog")[1], from_shap(given, 1)[1])
        assert torch.equal(from_shap(given, "dog")[1], from_shap(given, -1)[1])
        assert torch.equal(from_shap(self.explanation(1))[1], from_shap(self.explanation(1), 0)[1])

    def test_tables_stay_tables(self):
        inputs, attributions = from_shap(SimpleNamespace(values=np.ones((3, 4)), data=np.ones((3, 4)), base_values=0.0))
        assert inputs.shape == attributions.shape == (3, 4)

    def test_the_way_of_a_shap_user(self):
        given = self.explanation()

        def f(images):  # (k, H, W, C)
            return np.stack([images[..., 0].sum((1, 2)), images.max((1, 2, 3))], 1)

        inputs, attributions = from_shap(given, output=1)
        expected = deletion(numpy_forward(f), inputs, attributions, target=0)
        assert torch.equal(deletion(numpy_forward(f), None, given, target=0, output=1), expected)
        assert torch.equal(deletion(numpy_forward(f), None, {"x": given}, target=0, output="dog")["x"], expected)

    def test_values_without_data_show_their_outputs_by_the_base_values(self):
        given = self.explanation(data=None)
        inputs, attributions = from_shap(self.explanation(), 1)

        def model(images):
            return images.amax((1, 2, 3))

        assert torch.equal(deletion(model, inputs, given, output=1), deletion(model, inputs, attributions))

    @pytest.mark.parametrize(
        ("change", "output", "message"),
        [
            ({}, None, r"has 2 outputs; fix: output=<one of 0..1>"),
            ({}, 2, "output must name one of 2 outputs, got 2"),
            ({}, "bird", r"one of the explanation's output names \['cat', 'dog'\], got 'bird'"),
            ({"data": None}, 0, "inputs must be given unless"),
            ({"values": np.array([["a"]])}, 0, "one array of numbers"),
        ],
    )
    def test_what_is_missing_is_named(self, change, output, message):
        with pytest.raises((ValueError, TypeError), match=message):
            from_shap(self.explanation(**change), output)

    def test_only_explanations_have_values_and_data(self):
        with pytest.raises(TypeError, match=r"must be a shap\.Explanation, got Tensor"):
            from_shap(torch.ones(2, 3))

    def test_the_real_class_is_recognised(self):
        shap = pytest.importorskip("shap")
        parts = vars(self.explanation())
        inputs, attributions = from_shap(shap.Explanation(**parts), "dog")
        expected = from_shap(self.explanation(), "dog")
        assert torch.equal(inputs, expected[0])
        assert torch.equal(attributions, expected[1])
