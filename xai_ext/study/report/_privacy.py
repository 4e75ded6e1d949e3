"""What a report must not tell: where files lie on somebody's disk."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

# an absolute path of at least two parts, or one of Windows, but no closing tag and no share of two words
_PATHS = re.compile(
    r"""(?<![\w.<:/\\])(?:~?(?:/[^\s/'",;:<>()]+){2,}/?|[A-Za-z]:\\[^\s'",;<>()]+|\\\\[^\s'",;<>()]+)"""
)


def without_paths(text: str) -> str:
    """The text with the last part alone of every absolute path."""
    return _PATHS.sub(lambda match: f"…/{_last(match[0])}", text)


def file_only(text: str) -> str:
    """The last part of a path, absolute or not; what is no path stays."""
    return _last(text) if "/" in text or "\\" in text else text


def shareable(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings as text, without absolute paths."""
    return {key: _shareable(value) for key, value in settings.items()}


def without_folders(content: Any) -> Any:
    """What goes into JSON, without the folders of absolute paths."""
    if isinstance(content, Mapping):
        return {key: without_folders(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_folders(value) for value in content]
    return _shareable(content) if isinstance(content, str) else content


def _shareable(value: Any) -> str:
    text = str(value)
    head, colon, rest = text.partition(":")
    if colon and (PurePosixPath(rest).is_absolute() or PureWindowsPath(rest).is_absolute()) and len(head) > 1:
        return f"{head}:{_last(rest)}"  # image:/home/me/x.png
    if PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute() or text.startswith("~"):
        return _last(text)
    return without_paths(text)


def _last(path: str) -> str:
    return PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name
