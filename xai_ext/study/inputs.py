"""What the command line and `compare` are given, read with one clear line for each thing that can be wrong."""

import io
import json
from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError
from torch import Tensor

from xai_ext import baselines, segmentation
from xai_ext._checks import InputError
from xai_ext._types import AnyArray, BoolArray, IntArray
from xai_ext.models import Classifier, Preprocess
from xai_ext.study._given_labels import is_file, labels_from_file, labels_from_function
from xai_ext.study.data import drawn_boxes

MAX_PIXELS = 50_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
BUILT_IN = "coffee"


def _of_skimage(name: str) -> AnyArray:
    import skimage.data

    return np.asarray(getattr(skimage.data, name)())


def _of_sklearn(name: str) -> AnyArray:
    from sklearn.datasets import load_sample_image

    return np.asarray(load_sample_image(f"{name}.jpg"))


BUILT_INS: dict[str, Callable[[], AnyArray]] = {
    BUILT_IN: partial(_of_skimage, "coffee"),
    "chelsea": partial(_of_skimage, "chelsea"),
    "china": partial(_of_sklearn, "china"),
}
_BASELINES = "zero, black, white, mean, segment_mean, blur, blur:SIGMA, inpaint, a number or image:PATH"


def read_image(source: str) -> Image.Image:
    """A photo by path, rotated as its EXIF says, in RGB; or one that scikit-image or scikit-learn brings, by name.

    The size is read before anything is decoded.
    """
    if source in BUILT_INS:
        return Image.fromarray(BUILT_INS[source]())
    with _opened(source) as image:
        return _decoded(image, source)


def decode_image(content: bytes, name: str) -> Image.Image:
    """A photo from the bytes of its file, as `read_image` reads it."""
    with _recognized(io.BytesIO(content), name) as image:
        return _decoded(image, name)


def decode_mask(content: bytes, name: str, size: tuple[int, int]) -> BoolArray:
    """A truth from the bytes of its file, as `read_mask` reads it."""
    with _recognized(io.BytesIO(content), name) as mask:
        return _above_zero(mask, name, size)


def _decoded(image: Image.Image, name: str) -> Image.Image:
    try:
        return _on_white(ImageOps.exif_transpose(image) or image)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{name} cannot be read: {error}") from error


def read_mask(source: str | None, image: str, size: tuple[int, int]) -> BoolArray | None:
    """The truth (H, W) of a photo of `size` (W, H): any value above 0; the built-in photo has its own."""
    if source is None:
        return _coffee_outline(size) if image == BUILT_IN else None
    with _opened(source) as mask:
        return _above_zero(mask, source, size)


def _above_zero(mask: Image.Image, name: str, size: tuple[int, int]) -> BoolArray:
    if mask.size != size:
        raise InputError(
            f"the mask {name} must have the photo's size {size[0]}x{size[1]}, got {mask.width}x{mask.height}"
        )
    try:
        array = np.asarray(mask.convert("L")) > 0
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"the mask {name} cannot be read: {error}") from error
    if not array.any():
        raise InputError(f"the mask {name} is empty")
    return array


def read_truth(mask: str | None, box: str | None, image: str, size: tuple[int, int]) -> BoolArray | None:
    """The same from a mask or from boxes ``x0,y0,x1,y1;...`` in pixels of the photo, half open."""
    if box is None:
        return read_mask(mask, image, size)
    truth = drawn_boxes(box, size)
    if not truth.any():
        raise InputError("there is no box; fix: --box x0,y0,x1,y1")
    return truth


def resolve_target(target: str, scores: Tensor, classifier: Classifier) -> int | None:
    """Which output is explained: "top1", an index or a class name."""
    if scores.dim() == 1:
        return None
    n = scores.shape[1]
    if target == "top1":
        return int(scores[0].argmax())
    if target.removeprefix("-").isdigit():
        if not 0 <= int(target) < n:
            raise InputError(f"the target must lie between 0 and {n - 1}, got {target}")
        return int(target)
    names = [name.lower() for name in classifier.class_names or []]
    if target.lower() not in names:
        raise InputError(f'the target must be "top1", an index below {n} or a class name, got {target!r}')
    return names.index(target.lower())


def make_labels(how: str, pixels: np.ndarray) -> IntArray:
    """The shared regions: "slic:50", "grid:7x7", "quickshift", a file of labels or "module:callable"."""
    name, _, argument = how.partition(":")
    if name == "slic" and argument.isdigit() and int(argument) > 0:
        return segmentation.slic(pixels, n_segments=int(argument))
    rows, _, columns = argument.partition("x")
    if name == "grid" and rows.isdigit() and columns.isdigit():
        return segmentation.grid(pixels, rows=int(rows), columns=int(columns))
    if how == "quickshift":
        return segmentation.quickshift(pixels)
    if is_file(how):
        return labels_from_file(how, pixels.shape[:2])
    if argument and name not in ("slic", "grid"):
        return labels_from_function(how, pixels)
    raise InputError(
        f"segments must be slic:N, grid:RxC, quickshift, a NPY or PNG file or module:callable, got {how!r}"
    )


def make_baseline(how: str, x: Tensor, labels: IntArray, classifier: Classifier) -> Tensor:
    """What takes the place of what is absent, (1, C, H, W) in the model's input space."""
    name, _, argument = how.partition(":")
    try:
        if name in ("black", "white"):
            return _pixel_value(255 if name == "white" else 0, x, classifier)
        if name == "image" and argument:
            return classifier.input_of(read_image(argument)).expand_as(x)
        if name == "blur":
            return baselines.blur(x, sigma=float(argument) if argument else 10.0)
        plain: dict[str, Callable[[Tensor], Tensor]] = {
            "zero": baselines.constant,
            "mean": baselines.mean,
            "segment_mean": partial(baselines.segment_mean, labels=labels),
            "inpaint": baselines.inpaint,
        }
        return plain[how](x) if how in plain else baselines.constant(x, value=float(how))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the baseline must be {_BASELINES}, got {how!r}") from error


def crop_pixels(image: Image.Image, x: Tensor, classifier: Classifier) -> np.ndarray:
    """What the model sees, (H, W, 3) uint8, for pictures and segmentation."""
    if isinstance(classifier.preprocess, Preprocess):
        return classifier.preprocess.crop(image)
    low, high = x.amin(), x.amax()
    scaled = ((x[0] - low) / (high - low).clamp(min=1e-12) * 255).round().byte()
    return scaled.expand(3, *x.shape[2:]).movedim(0, -1).cpu().numpy()


def crop_mask(mask: BoolArray | None, classifier: Classifier) -> BoolArray | None:
    """The same part of the truth."""
    if mask is None:
        return None
    if not isinstance(classifier.preprocess, Preprocess):
        raise InputError(
            "a mask needs a classifier whose preprocess is an xai_ext.models.Preprocess, which can crop it"
        )
    cropped = classifier.preprocess.crop_mask(mask)
    if not cropped.any():
        raise InputError("nothing of the mask is left in the part of the photo that the model sees")
    return cropped


def _opened(source: str) -> Image.Image:
    path = Path(source)
    if not path.is_file():
        raise InputError(f"there is no file {source}")
    return _recognized(path, source)


def _recognized(file: Path | io.BytesIO, source: str) -> Image.Image:
    """The size is read and nothing else."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # our own limit, without Pillow's warning
    try:
        image = Image.open(file, formats=FORMATS)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{source} is not an image that can be read") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise InputError(
            f"{source} has {image.width * image.height / 1e6:.0f} megapixels, more than the {MAX_PIXELS / 1e6:.0f} "
            "that are read; fix: resize it"
        )
    return image


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in ("I;16", "I", "F"):
        array = np.asarray(image, dtype=np.float64)
        top = 65535.0 if image.mode != "F" else max(float(array.max()), 1e-12)
        image = Image.fromarray((array / top * 255).clip(0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _coffee_outline(size: tuple[int, int]) -> BoolArray:
    outline = json.loads(resources.files("xai_ext.study").joinpath("coffee_outline.json").read_text("utf-8"))
    mask = Image.new("1", size)
    for polygon in outline["polygons"]:
        ImageDraw.Draw(mask).polygon([(x * size[0], y * size[1]) for x, y in polygon], fill=1)
    return np.asarray(mask)


def _pixel_value(value: int, x: Tensor, classifier: Classifier) -> Tensor:
    if not isinstance(classifier.preprocess, Preprocess):
        raise InputError("black and white need a classifier whose preprocess is an xai_ext.models.Preprocess")
    flat = np.full((*x.shape[2:], 3), value, np.uint8)
    return classifier.preprocess.normalized(flat)
