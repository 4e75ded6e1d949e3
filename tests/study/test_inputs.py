"""What the user gives, and one clear line for what is wrong with it."""

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny_models import PREPROCESS, conv, scalar
from xai_ext.models import Classifier
from xai_ext.study import inputs


def save(path, image, **kwargs):
    image.save(path, **kwargs)
    return str(path)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height):
    """The head of a PNG of that size: 60 bytes that claim to be an image."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


class TestReadImage:
    @pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "I;16"])
    def test_every_mode_is_read_as_rgb(self, tmp_path, mode):
        name = "photo.tif" if mode == "CMYK" else "photo.png"
        image = Image.new("RGB", (9, 7), (255, 255, 255)).convert(mode) if mode != "I;16" else Image.fromarray(
            np.full((7, 9), 65535, np.uint16)
        )  # fmt: skip
        read = inputs.read_image(save(tmp_path / name, image))
        assert (read.mode, read.size) == ("RGB", (9, 7))
        assert read.getpixel((4, 4)) == (255, 255, 255)

    def test_what_is_transparent_is_white(self, tmp_path):
        read = inputs.read_image(save(tmp_path / "a.png", Image.new("RGBA", (3, 3), (10, 20, 30, 0))))
        assert read.getpixel((1, 1)) == (255, 255, 255)

    def test_the_rotation_of_the_camera_is_undone(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        assert inputs.read_image(save(tmp_path / "a.jpg", Image.new("RGB", (20, 10)), exif=exif)).size == (10, 20)

    def test_a_missing_file(self):
        with pytest.raises(ValueError, match=r"there is no file no_such\.jpg"):
            inputs.read_image("no_such.jpg")

    def test_a_folder(self, tmp_path):
        with pytest.raises(ValueError, match="there is no file"):
            inputs.read_image(str(tmp_path))

    @pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
    def test_not_an_image(self, tmp_path, content):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ValueError, match="not an image that can be read"):
            inputs.read_image(str(tmp_path / "a.png"))

    def test_a_truncated_image(self, tmp_path):
        path = tmp_path / "a.jpg"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:900])
        with pytest.raises(ValueError, match="cannot be read"):
            inputs.read_image(str(path))

    def test_400_megapixels_are_refused_before_they_are_decoded(self, tmp_path):
        (tmp_path / "a.png").write_bytes(png_of(20_000, 20_000))
        with pytest.raises(ValueError, match="400 megapixels"):
            inputs.read_image(str(tmp_path / "a.png"))

    def test_other_formats_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="not an image that can be read"):
            inputs.read_image(save(tmp_path / "a.gif", Image.new("RGB", (9, 7))))

    @pytest.mark.slow
    def test_a_decompression_bomb_takes_no_memory(self, tmp_path):
        path = tmp_path / "bomb.png"
        rows = zlib.compress(bytes(12_001 * 12_000), 9)  # 144 megapixels, all black
        path.write_bytes(png_of(12_000, 12_000).replace(chunk(b"IDAT", zlib.compress(b"")), chunk(b"IDAT", rows)))
        assert path.stat().st_size < 200_000
        script = (
            "import resource, sys; from xai_ext.study import inputs; inputs.read_mask(None, 'x', (1, 1))\n"
            "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "before = peak()\n"
            "try: inputs.read_image(sys.argv[1])\n"
            "except ValueError as error: print(peak() - before, error)"
        )
        told = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
        grown, _, message = told.stdout.partition(" ")
        assert "144 megapixels" in message
        assert int(grown) < 50_000  # kB


class TestTruth:
    def test_boxes_are_half_open_and_joined(self):
        truth = inputs.read_truth(None, "1,2,3,4;3,3,5,4", "photo.jpg", (6, 5))
        expected = np.zeros((5, 6), bool)
        expected[2:4, 1:3] = expected[3:4, 3:5] = True
        np.testing.assert_array_equal(truth, expected)

    def test_without_boxes_it_is_the_mask(self, tmp_path):
        path = save(tmp_path / "m.png", Image.new("L", (9, 7), 1))
        assert inputs.read_truth(path, None, "photo.jpg", (9, 7)).all()
        assert inputs.read_truth(None, None, "photo.jpg", (9, 7)) is None

    @pytest.mark.parametrize(
        ("box", "message"),
        [("1,2,3", "must be x0,y0,x1,y1"), ("a,b,c,d", "must be x0,y0,x1,y1"), ("3,2,1,4", "in the image of 6x5"),
         ("0,0,7,5", "in the image of 6x5"), ("-1,0,3,3", "in the image"), ("", "no box"), (";", "no box")],
    )  # fmt: skip
    def test_what_is_no_box(self, box, message):
        with pytest.raises(ValueError, match=message):
            inputs.read_truth(None, box, "photo.jpg", (6, 5))


def of_rows(pixels):
    """A segmentation: every row is a region, numbered from 5 with gaps."""
    return np.broadcast_to(np.arange(len(pixels))[:, None] * 2 + 5, pixels.shape[:2])


def of_floats(pixels):
    return np.zeros(pixels.shape[:2])


class TestReadMask:
    def test_any_value_above_0_is_the_object(self, tmp_path):
        array = np.zeros((7, 9), np.uint8)
        array[2:4, 3:5] = 1
        mask = inputs.read_mask(save(tmp_path / "m.png", Image.fromarray(array)), "photo.jpg", (9, 7))
        np.testing.assert_array_equal(mask, array > 0)

    def test_another_size(self, tmp_path):
        with pytest.raises(ValueError, match="must have the photo's size 9x8, got 9x7"):
            inputs.read_mask(save(tmp_path / "m.png", Image.new("L", (9, 7), 1)), "photo.jpg", (9, 8))

    def test_an_empty_one(self, tmp_path):
        with pytest.raises(ValueError, match="is empty"):
            inputs.read_mask(save(tmp_path / "m.png", Image.new("L", (9, 7))), "photo.jpg", (9, 7))

    def test_only_the_built_in_photo_has_one_of_its_own(self):
        assert inputs.read_mask(None, "photo.jpg", (9, 7)) is None
        outline = inputs.read_mask(None, "coffee", (600, 400))
        assert 0.15 < outline.mean() < 0.35
        assert outline[110, 290]

    def test_nothing_left_after_the_crop(self):
        mask = np.zeros((100, 300), bool)
        mask[:, :5] = True
        with pytest.raises(ValueError, match="nothing of the mask is left"):
            inputs.crop_mask(mask, conv())

    def test_a_preprocessing_that_cannot_crop(self):
        classifier = Classifier(torch.nn.Identity(), lambda image: torch.zeros(1, 3, 4, 4))
        with pytest.raises(ValueError, match="which can crop it"):
            inputs.crop_mask(np.ones((4, 4), bool), classifier)


class TestTarget:
    scores = torch.tensor([[0.0, 3.0, 1.0, 2.0]])

    @pytest.mark.parametrize(("target", "index"), [("top1", 1), ("0", 0), ("3", 3), ("cow", 2), ("Cow", 2)])
    def test_forms(self, target, index):
        assert inputs.resolve_target(target, self.scores, conv()) == index

    @pytest.mark.parametrize("target", ["4", "-1", "1000"])
    def test_out_of_range(self, target):
        with pytest.raises(ValueError, match="must lie between 0 and 3"):
            inputs.resolve_target(target, self.scores, conv())

    @pytest.mark.parametrize("target", ["horse", "", "1.5"])
    def test_unknown(self, target):
        with pytest.raises(ValueError, match="or a class name"):
            inputs.resolve_target(target, self.scores, conv())

    def test_one_score_per_image_needs_none(self):
        assert inputs.resolve_target("top1", torch.tensor([1.0]), scalar()) is None


class TestLabels:
    pixels = np.tile(np.arange(32, dtype=np.uint8)[:, None, None] // 8 * 60, (1, 32, 3))

    @pytest.mark.parametrize(("how", "most"), [("slic:9", 20), ("grid:2x3", 6), ("quickshift", 1024)])
    def test_forms(self, how, most):
        labels = inputs.make_labels(how, self.pixels)
        assert labels.shape == (32, 32)
        assert labels.max() < most

    @pytest.mark.parametrize("how", ["slic", "slic:0", "slic:x", "grid:3", "grid:axb", "watershed", ""])
    def test_unknown(self, how):
        with pytest.raises(ValueError, match="segments must be"):
            inputs.make_labels(how, self.pixels)

    def test_regions_from_files_and_functions_are_numbered_without_gaps(self, tmp_path):
        given = np.repeat([3, 9, 9, 200], 8)[:, None] * np.ones((1, 32), int)
        np.save(tmp_path / "a.npy", given)
        Image.fromarray(given.astype(np.uint8)).save(tmp_path / "a.png")
        for how in (str(tmp_path / "a.npy"), str(tmp_path / "a.png")):
            np.testing.assert_array_equal(inputs.make_labels(how, self.pixels)[:, 0], np.repeat([0, 1, 1, 2], 8))
        labels = inputs.make_labels("tests.study.test_inputs:of_rows", self.pixels)
        np.testing.assert_array_equal(labels, np.arange(32)[:, None] * np.ones((1, 32), int))

    @pytest.mark.parametrize(
        ("how", "message"),
        [("none.npy", "there is no file"), ("tests.study.test_inputs:none", "cannot load the segmentation"),
         ("tests.study.test_inputs:of_floats", "that the model sees, 32x32, got float64")],
    )  # fmt: skip
    def test_regions_that_cannot_be_used(self, how, message):
        with pytest.raises(ValueError, match=message):
            inputs.make_labels(how, self.pixels)

    def test_regions_of_another_shape(self, tmp_path):
        np.save(tmp_path / "a.npy", np.zeros((3, 4), int))
        with pytest.raises(ValueError, match=r"int64 of shape \(3, 4\)"):
            inputs.make_labels(str(tmp_path / "a.npy"), self.pixels)


class TestBaseline:
    x = torch.rand(1, 3, 32, 32)
    labels = np.arange(1024).reshape(32, 32) // 256

    @pytest.mark.parametrize(
        "how", ["zero", "black", "white", "mean", "segment_mean", "blur", "blur:3", "inpaint", "0.5", "-1"]
    )
    def test_forms(self, how):
        made = inputs.make_baseline(how, self.x, self.labels, conv())
        assert made.shape == self.x.shape
        assert made.dtype == torch.float32

    def test_black_and_white_are_pixel_values(self):
        for how, value in (("black", -2.0), ("white", 2.0)):
            torch.testing.assert_close(
                inputs.make_baseline(how, self.x, self.labels, conv()), torch.full((1, 3, 32, 32), value)
            )

    def test_another_image(self, tmp_path):
        path = save(tmp_path / "b.png", Image.new("RGB", (50, 40), "white"))
        made = inputs.make_baseline(f"image:{path}", self.x, self.labels, conv())
        torch.testing.assert_close(made, torch.full((1, 3, 32, 32), 2.0))

    @pytest.mark.parametrize("how", ["grey", "blur:x", "", "image:"])
    def test_unknown(self, how):
        with pytest.raises(ValueError, match="the baseline must be"):
            inputs.make_baseline(how, self.x, self.labels, conv())


def test_pictures_of_a_model_with_its_own_preprocessing_are_scaled_inputs():
    classifier = Classifier(torch.nn.Identity(), lambda image: torch.zeros(1, 1, 4, 5))
    x = torch.linspace(-3, 5, 20).reshape(1, 1, 4, 5)
    pixels = inputs.crop_pixels(Image.new("RGB", (10, 10)), x, classifier)
    assert pixels.shape == (4, 5, 3)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert PREPROCESS.crop(Image.new("RGB", (10, 10))).shape == (32, 32, 3)
