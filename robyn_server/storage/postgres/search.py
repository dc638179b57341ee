"""Search rows by filters in an order, so that a page costs what it reads, however many rows are stored and match.

Rules
  1. A filter is either common or rare, and no statistics tell which. So a search has steps, and ends with the first one
     that is not cut short.
  2. A step in order walks the index of the order until the page is full, at most `most` rows far. It is cheap for
     common filters.
  3. A step by filters looks up at most `most` rows in the inverted index, and sorts them. It is cheap for rare filters.
  4. Later steps go further. Only the last one has no limit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from robyn_server.core.page import Page, page_of

from .json import json_array

_NO_LIMIT = 2**62
_DEPTHS = {1000: "to_1000", 5000: "to_5000", 20_000: "to_20000"}


def depth(rows: int) -> str:
    """The fragment that tells the planner how many rows are read of an index."""
    return next((name for limit, name in _DEPTHS.items() if rows <= limit), "to_the_end")


class Kind(Enum):
    IN_ORDER = "in order"
    BY_FILTERS = "by filters"


@dataclass(frozen=True, slots=True)
class Step:
    """`most`: the number of rows to look at."""

    kind: Kind
    most: int

    @property
    def depth(self) -> str:
        return depth(self.most)


def steps(last: int) -> Iterator[Step]:
    """The steps of a search with filters, for a page that ends with row `last`."""
    yield Step(Kind.IN_ORDER, max(250, 20 * last))
    yield Step(Kind.BY_FILTERS, max(5_000, 10 * last))
    yield Step(Kind.IN_ORDER, max(20_000, 200 * last))
    yield Step(Kind.BY_FILTERS, _NO_LIMIT)


def whole_walk(last: int) -> Step:
    """The only step of a search without filters: every row that the walk meets belongs to the page."""
    return Step(Kind.IN_ORDER, last + 2)


async def search_page(
    run: Callable[[Step], Awaitable[Any]], search_steps: Iterator[Step], *, limit: int, offset: int
) -> Page:
    """Return the page of the first step that `run` did not cut short."""
    row = None
    for step in search_steps:
        row = await run(step)
        if row is None or not row["is_cut"]:
            break
    if row is None:
        return page_of("[]", 0, limit, offset)
    return page_of(json_array(row["body"]), row["rows"], limit, offset)
