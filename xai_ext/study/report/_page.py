"""What all pages share."""

import base64
import hashlib
from importlib import metadata

from xai_ext._html import page


def script_hash() -> str:
    """The only script that the page's policy lets run."""
    digest = hashlib.sha256(page("sort.js").encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def version(package: str) -> str:
    """Of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
