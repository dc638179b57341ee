"""A full garbage collection stops a worker: it must not examine LangGraph and the graphs each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from databases import fresh_database
from servers.live_server import live_server, until

pytestmark = pytest.mark.server

GRAPH = """
import gc
from typing import TypedDict

from langgraph.graph import END, START, StateGraph


class Counts(TypedDict, total=False):
    examined: int
    exempt: int
    threshold: int


def count(_: Counts) -> Counts:
    return {"examined": len(gc.get_objects()), "exempt": gc.get_freeze_count(), "threshold": gc.get_threshold()[0]}


graph = StateGraph(Counts).add_node(count).add_edge(START, "count").add_edge("count", END).compile()
"""


async def test_a_collection_of_a_worker_examines_little_of_what_was_imported(
    postgres: str, template: str, tmp_path: Path
) -> None:
    file = tmp_path / "counting.py"
    file.write_text(GRAPH)
    settings = {"AGENTHALL_GRAPHS": json.dumps({"counts": f"{file}:graph"})}
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as server:

        async def counted() -> Any:
            found = await server.sdk().runs.wait(None, "counts", input={"exempt": 0})
            assert found["threshold"] == 10_000, "collections are rare"
            return found["exempt"] > 10 * found["examined"]  # from when all graphs were imported

        assert await until(counted)
