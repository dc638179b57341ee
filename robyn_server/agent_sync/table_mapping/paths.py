"""Paths from a row to a column, along foreign keys: `model_id.provider_id.name`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from robyn_server.core.errors import Misconfigured

from .schema import Column, Schema, Table

_LONGEST_NAME = 63


@dataclass(frozen=True, slots=True)
class Join:
    """One step along a foreign key. `alias` and `origin` are names of rows in a query."""

    table: Table
    alias: str
    column: str
    origin: str
    origin_column: str

    @property
    def condition(self) -> str:
        target, source = self.table.columns[self.column].sql, self.origin_column
        return f"{self.alias}.{target} = {self.origin}.{source}"


@dataclass(frozen=True, slots=True)
class Path:
    """`text` as it was given; `sql` names the column by the last row's alias."""

    text: str
    joins: tuple[Join, ...]
    table: Table
    column: Column
    sql: str


def find_path(schema: Schema, table: Table, text: str, option: str, alias: str = "a") -> Path:
    """The column that `text` leads to from a row `alias` of `table`.

    Raises Misconfigured naming the option and the step.
    """
    *steps, last = text.split(".")
    joins, origin, current = list[Join](), alias, table
    for step in steps:
        reference = current.references.get(step)
        if reference is None:
            raise Misconfigured(f"{option}: {current.sql} has no foreign key {step!r}{_among(current.references)}")
        following = schema.tables.get(reference.table)
        if following is None:
            raise Misconfigured(f"{option}: this login cannot see {reference.table}")
        next_alias = _shortened(f"{origin}_{step}")
        joins.append(Join(following, next_alias, reference.column, origin, current.columns[step].sql))
        origin, current = next_alias, following
    column = current.columns.get(last)
    if column is None:
        raise Misconfigured(f"{option}: {current.sql} has no column {last!r}{_among(current.columns)}")
    return Path(text, tuple(joins), current, column, f"{origin}.{column.sql}")


def joined(paths: Iterable[Path]) -> tuple[Join, ...]:
    """The joins of all paths, each once, in an order in which each follows its origin."""
    return tuple({join.alias: join for path in paths for join in path.joins}.values())


def walk(schema: Schema, table: Table, depth: int, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, Table, Column]]:
    """Every column within `depth` foreign keys of `table`: its path, its table and itself, the nearest first."""
    yield from ((".".join((*prefix, name)), table, column) for name, column in table.columns.items())
    if depth:
        for name, reference in table.references.items():
            following = schema.tables.get(reference.table)
            if following is not None and following.sql != table.sql:
                yield from walk(schema, following, depth - 1, (*prefix, name))


def _among(names: Iterable[str]) -> str:
    listed = ", ".join(names)
    return f"; it has {listed}" if listed else ""


def _shortened(alias: str) -> str:
    """An alias that needs no quotes and that PostgreSQL does not cut."""
    plain = alias.lower() if alias.isascii() and alias.replace("_", "a").isalnum() else ""
    if plain == alias and len(plain) <= _LONGEST_NAME:
        return plain
    return f"a_{hashlib.sha256(alias.encode()).hexdigest()[:12]}"
