"""A version of an assistant never changes, whatever writes the assistant."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg
import pytest
from run_storage import RunStorage


@pytest.fixture
async def written(storage: RunStorage) -> UUID:
    """The id of an assistant with the versions 1 and 2."""
    assistant_id = uuid4()
    await storage.admin.execute(
        """insert into agenthall.assistants (assistant_id, graph_id, name, owner_id, visibility)
           values ($1, 'agent', 'one', 'somebody', 'private')""",
        assistant_id,
    )
    await storage.admin.execute(
        "update agenthall.assistants set version = 2, name = 'two' where assistant_id = $1", assistant_id
    )
    return assistant_id


@pytest.mark.parametrize(
    "change",
    ["name = 'three'", "description = 'new'", "metadata = '{\"a\": 1}'", "graph_id = 'b'", "version = 1"],
)
async def test_a_write_with_a_version_that_has_another_content_is_refused(
    storage: RunStorage, written: UUID, change: str
) -> None:
    with pytest.raises(asyncpg.UniqueViolationError, match="never changes"):
        await storage.admin.execute(f"update agenthall.assistants set {change} where assistant_id = $1", written)


async def test_a_write_with_a_version_and_its_content_adds_none(storage: RunStorage, written: UUID) -> None:
    await storage.admin.execute(
        "update agenthall.assistants set version = 1, name = 'one' where assistant_id = $1", written
    )
    await storage.admin.execute("update agenthall.assistants set retired_at = now() where assistant_id = $1", written)
    assert [
        tuple(row)
        for row in await storage.admin.fetch(
            "select version, name from agenthall.assistant_versions where assistant_id = $1 order by 1", written
        )
    ] == [(1, "one"), (2, "two")]
