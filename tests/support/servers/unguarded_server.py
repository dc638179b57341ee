"""A process of the server whose SQL has lost its predicates of tenancy, so that row-level security alone must hold.

Runs as `python unguarded_server.py web`. The text of the named queries is changed as it is read; nothing else is.
"""

from __future__ import annotations

import re

from robyn_server.storage.postgres import queries

_OWN = re.compile(r"\b\w+\.(?:owner_id|tenant_id)\s*(?:=|>=|<=)\s*:(?:identity|owner|organization_id)\b")
_VISIBLE = "(:is_admin or :grants"
"""How the fragments `own` and `visible` begin."""


def without_predicates(text: str) -> tuple[str, int]:
    """The SQL with predicates that are always true, and how many those are. Its parameters stay the same."""
    text, owned = _OWN.subn(lambda found: f"({found[0]} or true)", text)
    return text.replace(_VISIBLE, "(true or :is_admin or :grants"), owned + text.count(_VISIBLE)


def remove_predicates() -> None:
    read = queries._read
    queries._read = lambda noun: without_predicates(read(noun))[0]


if __name__ == "__main__":
    remove_predicates()
    from robyn_server.cli import main

    main()
