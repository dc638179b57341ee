"""docs/reference/schema.md shows the schema `mcp` as the migrations create it."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import asyncpg
import pytest
from doc_pages import ROOT

UNCOMMENTED = """
select p.oid::regprocedure::text as name from pg_proc p
 where p.pronamespace = 'mcp'::regnamespace and obj_description(p.oid, 'pg_proc') is null
union all
select c.oid::regclass::text from pg_class c
 where c.relnamespace = 'mcp'::regnamespace and c.relkind in ('r', 'v') and obj_description(c.oid, 'pg_class') is null
 order by 1
"""


@pytest.fixture(scope="module")
def schema() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_schema", ROOT / "docs" / "schema.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_every_function_table_and_view_has_a_comment(database: str) -> None:
    connection = await asyncpg.connect(database)
    assert [row["name"] for row in await connection.fetch(UNCOMMENTED)] == []
    await connection.close()


async def test_the_page_says_what_the_catalog_says(schema: ModuleType, database: str) -> None:
    connection = await asyncpg.connect(database)
    assert await schema.render(connection) == schema.PAGE.read_text(encoding="utf-8"), "run `make docs`"
    await connection.close()
