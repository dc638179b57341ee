"""When an agent was last edited: the latest `updated_at` of the rows that it is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import guesses
from .paths import Path, find_path
from .schema import Schema, Table


def clocks_along(schema: Schema, table: Table, paths: Iterable[Path], alias: str = "a") -> tuple[Path, ...]:
    """The clocks of `table` and of all tables along `paths`, each once."""
    passed = {"": table}
    for path in paths:
        steps = path.text.split(".")[:-1]
        passed |= {".".join(steps[: number + 1]): join.table for number, join in enumerate(path.joins)}
    found = [
        find_path(schema, table, f"{prefix}.{name}".lstrip("."), "updated_at", alias)
        for prefix, owner in passed.items()
        for name in guesses.clocks(owner)
    ]
    return tuple({path.sql: path for path in found}.values())


def clock_sql(path: Path) -> str:
    """A moment with its time zone; one without is taken to be UTC."""
    return path.sql if path.column.type == "timestamp with time zone" else f"{path.sql} at time zone 'UTC'"


def greatest(moments: Sequence[str]) -> str:
    return moments[0] if len(moments) == 1 else f"greatest({', '.join(moments)})"
