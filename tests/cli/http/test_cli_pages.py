"""A page that is too large for one answer is asked for again, half as long."""

from __future__ import annotations

from typing import Any

import pytest

from robyn_server.cli.http.pages import Rows, pages_by_cursor, pages_by_offset
from robyn_server.core.errors import TooLarge

ROWS = [{"n": n} for n in range(11)]


class BoundedList:
    """Answers at most `most` rows, as a server with AGENTHALL_MAX_ANSWER_BYTES."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.sizes: list[int] = []

    def by_offset(self, size: int, offset: int) -> Rows:
        self.sizes.append(size)
        if size > self._most:
            raise TooLarge("The answer is larger than 9 bytes", code="answer_too_large")
        return ROWS[offset : offset + size]

    def by_cursor(self, size: int, cursor: str | None) -> dict[str, Any]:
        offset = int(cursor or 0)
        rows, end = self.by_offset(size, offset), offset + size
        return {"rows": rows, "next_cursor": str(end) if end < len(ROWS) else None}


def test_all_rows_are_read_in_shorter_pages() -> None:
    server = BoundedList(2)
    assert list(pages_by_offset(server.by_offset, None, 8)) == ROWS
    assert server.sizes == [8, 4, *[2] * 6]
    server = BoundedList(2)
    assert list(pages_by_cursor(server.by_cursor, "rows", 8)) == ROWS
    assert server.sizes == [8, 4, *[2] * 6]


def test_a_limit_holds_with_shorter_pages() -> None:
    assert list(pages_by_offset(BoundedList(2).by_offset, 5, 8)) == ROWS[:5]


def test_a_row_that_is_too_large_alone_and_any_other_refusal_are_raised() -> None:
    with pytest.raises(TooLarge):
        list(pages_by_offset(BoundedList(0).by_offset, None, 8))

    def refuse(_size: int, _offset: Any) -> Any:
        raise TooLarge("The request body is too large")

    with pytest.raises(TooLarge):
        next(pages_by_offset(refuse, None, 8))
    with pytest.raises(TooLarge):
        next(pages_by_cursor(refuse, "rows", 8))
