"""Diagnostics of which some are computed late."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Report(Mapping[str, Any]):
    """Read-only diagnostics; what costs time or memory is computed when it is first read."""

    def __init__(self, known: Mapping[str, Any], **late: Callable[[], Any]) -> None:
        self._values = dict(known)
        self._late = late

    def __getitem__(self, key: str) -> Any:
        if key in self._late:
            self._values[key] = self._late.pop(key)()
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter([*self._values, *self._late])

    def __len__(self) -> int:
        return len(self._values) + len(self._late)


def extended(diagnostics: Mapping[str, Any], **more: Any) -> Report:
    """With further entries; what is late stays late."""
    if not isinstance(diagnostics, Report):
        return Report({**diagnostics, **more})
    return Report(diagnostics._values | more, **{k: late for k, late in diagnostics._late.items() if k not in more})
