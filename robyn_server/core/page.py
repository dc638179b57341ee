"""A page of search results, as JSON text written by the database."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """`body` is a JSON array of `count` rows from `offset` on; `more` says that there are further ones."""

    body: str
    count: int
    offset: int
    more: bool

    @property
    def total(self) -> int:
        """Rows known to exist: a lower bound, as LangGraph's server counts."""
        return self.offset + self.count + (1 if self.more else 0)

    @property
    def next_offset(self) -> int | None:
        return self.offset + self.count if self.more else None


def page_of(body: str, rows: int, limit: int, offset: int) -> Page:
    """The page of a query that requested `limit + 1` rows and found `rows`."""
    return Page(body, min(rows, limit), offset, more=rows > limit)
