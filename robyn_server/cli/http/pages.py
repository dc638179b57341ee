"""Read all pages of a list. A page that is too large for one answer is asked for again, half as long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from robyn_server.core.errors import TooLarge

Rows = list[dict[str, Any]]


def pages_by_offset(page: Callable[[int, int], Rows], limit: int | None, largest: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of pages, at most `limit`. `page` takes a size, at most `largest`, and an offset."""
    found = 0
    while limit is None or found < limit:
        size = largest if limit is None else min(largest, limit - found)
        try:
            rows = page(size, found)
        except TooLarge as error:
            largest = _half(size, error)
            continue
        yield from rows
        found += len(rows)
        if len(rows) < size:
            return


def pages_by_cursor(
    page: Callable[[int, str | None], Mapping[str, Any]], name: str, largest: int
) -> Iterator[dict[str, Any]]:
    """Yield the items called `name` of all pages. `page` takes a size, at most `largest`, and a cursor."""
    cursor: str | None = None
    while True:
        try:
            answer = page(largest, cursor)
        except TooLarge as error:
            largest = _half(largest, error)
            continue
        yield from answer[name]
        cursor = answer.get("next_cursor")
        if not cursor:
            return


def _half(size: int, error: TooLarge) -> int:
    if size == 1 or error.code != "answer_too_large":
        raise error
    return size // 2
