"""An array that rows are appended to."""

from typing import Any

import numpy as np

from xai_ext._types import AnyArray


class Column:
    """Rows of one dtype and shape; appending takes amortised constant time per row.

    Parameters
    ----------
    first : array (k, ...)
        The rows to begin with.
    room : int
        Rows expected in all; memory that is never written to costs nothing.
    """

    def __init__(self, first: AnyArray, room: int = 0) -> None:
        self._rows, self._size = np.empty((max(room, len(first)), *first.shape[1:]), first.dtype), len(first)
        self._rows[: self._size] = first

    def __len__(self) -> int:
        return self._size

    @property
    def rows(self) -> AnyArray:
        """All rows, a view: read it again after `append`."""
        return self._rows[: self._size]

    def append(self, rows: Any) -> slice:
        """Where the new rows stand."""
        added = slice(self._size, self._size + len(rows))
        if added.stop > len(self._rows):
            room = np.empty((added.stop + self._size // 2, *self._rows.shape[1:]), self._rows.dtype)
            room[: self._size] = self.rows
            self._rows = room
        self._rows[added] = rows
        self._size = added.stop
        return added
