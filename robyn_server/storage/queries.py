"""Named queries: SQL is source.

`sql/<noun>.sql` holds statements, each under a line `-- name: <name>`. A part that several share stands once, under
`-- fragment: <name>`, and is written `{name}` where it is used. `{order}` is left for `ordered()`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

_FOLDER = Path(__file__).parent / "sql"
_HEAD = re.compile(r"^-- (name|fragment): (\w+)\s*$", re.MULTILINE)


@cache
def load(noun: str) -> Mapping[str, str]:
    """The queries of `sql/<noun>.sql` by name. Raises KeyError on use of a name that is not there."""
    parts = _HEAD.split((_FOLDER / f"{noun}.sql").read_text(encoding="utf-8"))
    pieces = [
        (kind, name, body.strip().rstrip(";"))
        for kind, name, body in zip(*(parts[i::3] for i in (1, 2, 3)), strict=True)
    ]
    if len({name for _, name, _ in pieces}) != len(pieces):
        raise ValueError(f"sql/{noun}.sql uses a name twice")
    queries = {name: body for kind, name, body in pieces if kind == "name"}
    for kind, name, body in pieces:
        if kind == "fragment":
            queries = {key: text.replace("{" + name + "}", body) for key, text in queries.items()}
    return MappingProxyType(queries)


@cache
def ordered(noun: str, name: str, order: str) -> str:
    """The query with its `{order}` filled in. `order` comes from a fixed list of ours, never from a request."""
    return load(noun)[name].replace("{order}", order)


def nouns() -> list[str]:
    """Every file of named queries, for the test that prepares them all."""
    return sorted(path.stem for path in _FOLDER.glob("*.sql"))
