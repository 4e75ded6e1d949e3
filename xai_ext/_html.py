"""Pages made of templates that escape everything, and pictures as data URIs."""

import base64
import io
import re
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_ext._types import AnyArray

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.figure import Figure

_SIDE = 224
_QUALITY = 80
# control characters, and those that turn the direction of the text after them
_INVISIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


@cache
def environment() -> "Environment":
    """The templates of the package; every value that comes into them is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_printable,
    )  # fmt: skip


def page(template: str, **values: Any) -> str:
    """A template filled in."""
    return environment().get_template(template).render(**values)


def visible(text: str) -> str:
    """The text with a mark in place of each character that cannot be seen and changes what can."""
    return _INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _printable(value: Any) -> Any:
    if value is None:
        return ""
    return visible(value) if type(value) is str else value  # what macros return is no plain str


def webp(image: AnyArray, side: int = _SIDE) -> str:
    """A picture (H, W, 3) in 0..1 as a WebP data URI, its longer side at most `side` pixels."""
    return _uri("image/webp", _encoded(image, "WEBP", side, quality=_QUALITY, method=6))


def png(image: AnyArray, side: int = _SIDE) -> bytes:
    """A picture (H, W, 3) or (H, W, 4) in 0..1 as PNG; small ones are enlarged pixel by pixel."""
    return _encoded(image, "PNG", side, optimize=True)


def png_uri(image: AnyArray, side: int = _SIDE) -> str:
    """The same as a data URI."""
    return _uri("image/png", png(image, side))


def svg(figure: "Figure") -> str:
    """A figure as an SVG data URI: text stays text, and the same figure gives the same bytes."""
    import matplotlib as mpl

    out = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "xai_ext"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the reader's browser has others
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return _uri("image/svg+xml", out.getvalue())


def _encoded(image: AnyArray, kind: str, side: int, **options: Any) -> bytes:
    from PIL import Image

    picture = Image.fromarray((np.asarray(image) * 255).round().clip(0, 255).astype(np.uint8))
    scale = side / max(picture.size)
    size = tuple(max(1, round(length * scale)) for length in picture.size)
    if scale < 1 or picture.size[0] * 4 <= side:
        picture = picture.resize(
            (size[0], size[1]), Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
        )
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
