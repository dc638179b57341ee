"""Storages and pools that a program injects: whatever they may return is read, or is a failure of one agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, MagicMock
from uuid import UUID, uuid4

import pytest
from catalogues.sync_storage import MemoryStorage
from pydantic import BaseModel

from robyn_server.agent_sync import (
    AgentSyncData,
    AgentSyncMcpTool,
    AgentSyncScope,
    _assistant_payload_for_agent,
    fetch_active_agent_by_id,
    fetch_active_agents,
    lazy_sync_agent,
    startup_agent_sync,
    sync_single_agent,
)
from robyn_server.agent_sync.errors import ContractBroken

ALL = AgentSyncScope.all()
AGENT = AgentSyncData(agent_id=UUID(int=7), name="Ada", system_prompt="Be brief.", organization_id=UUID(int=8))
PAYLOAD = _assistant_payload_for_agent(AGENT)


class Config(BaseModel):
    configurable: dict[str, Any]


class Assistant(BaseModel):
    assistant_id: str = PAYLOAD["assistant_id"]
    graph_id: str = "agent"
    name: str = "Ada"
    config: Config
    metadata: dict[str, Any]


@dataclass
class Record:
    graph_id: str = "agent"
    name: str = "Ada"
    config: Any = None
    metadata: Any = field(default_factory=dict)


def mock_assistant(configurable: Any) -> MagicMock:
    assistant = MagicMock()
    assistant.config.model_dump.return_value = {"configurable": configurable}
    assistant.metadata = PAYLOAD["metadata"]
    return assistant


def equal_assistants() -> dict[str, Any]:
    configurable, metadata = PAYLOAD["config"]["configurable"], PAYLOAD["metadata"]
    return {
        "a mapping": dict(PAYLOAD),
        "a model": Assistant(config=Config(configurable=configurable), metadata=metadata),
        "a record with objects": Record(
            config=SimpleNamespace(configurable=configurable), metadata=SimpleNamespace(**metadata)
        ),
        "objects all the way": SimpleNamespace(
            config=SimpleNamespace(configurable=SimpleNamespace(**configurable)), metadata=metadata
        ),
        "a mock": mock_assistant(configurable),
    }


def other_assistants() -> dict[str, Any]:
    return {
        "text as configurable": {"config": {"configurable": "text"}, "metadata": PAYLOAD["metadata"]},
        "text as metadata": {**PAYLOAD, "metadata": "text"},
        "text as config": {"config": "text"},
        "lists": {"config": [1], "metadata": [2]},
        "a bare mock": MagicMock(),
        "a mock that dumps a mock": MagicMock(config=MagicMock(), metadata={}),
        "a value that is no JSON": {"config": {"configurable": {"system_prompt": object()}}},
        "nothing but an id": {"assistant_id": PAYLOAD["assistant_id"]},
        "another prompt": Record(config=Config(configurable={"system_prompt": "other"})),
    }


def storage_with(assistant: Any) -> Any:
    return SimpleNamespace(
        assistants=SimpleNamespace(get=AsyncMock(return_value=assistant), create=AsyncMock(), update=AsyncMock())
    )


def pool_with(*rows: Any) -> AsyncMock:
    pool = AsyncMock()
    pool.fetch.return_value = list(rows)
    pool.fetchrow.return_value = rows[0] if rows else None
    pool.execute.return_value = "UPDATE 1"
    return pool


@pytest.mark.parametrize("form", equal_assistants())
async def test_an_equal_assistant_is_recognized_in_every_form(form: str) -> None:
    storage = storage_with(equal_assistants()[form])
    result = await sync_single_agent(pool_with(), storage, agent=AGENT, owner_id="system")
    assert result.action == "skipped"
    storage.assistants.update.assert_not_awaited()


@pytest.mark.parametrize("form", other_assistants())
async def test_any_other_answer_is_an_assistant_to_update(form: str) -> None:
    storage = storage_with(other_assistants()[form])
    result = await sync_single_agent(pool_with(), storage, agent=AGENT, owner_id="system")
    assert result.action == "updated"
    assert storage.assistants.update.await_args.args[1]["config"] == PAYLOAD["config"]


@pytest.mark.parametrize("form", {**equal_assistants(), **other_assistants()})
async def test_a_reference_is_answered_whatever_is_stored(form: str) -> None:
    storage = storage_with((equal_assistants() | other_assistants())[form])
    pool = pool_with({"agent_id": AGENT.agent_id, "name": "Ada"})
    for ttl in (timedelta(minutes=5), 300, 0.5, 0):
        synced = await lazy_sync_agent(
            pool, storage, agent_id=AGENT.agent_id, owner_id="anna", cache_ttl=ttl, organizations=None
        )
        assert synced == str(AGENT.agent_id)


async def test_a_mock_storage_is_used_by_its_three_methods() -> None:
    storage = AsyncMock()
    storage.assistants.get.return_value = None
    counters = await startup_agent_sync(
        pool_with({"agent_id": AGENT.agent_id, "name": "Ada"}), storage, scope=ALL, owner_id="system"
    )
    assert counters == {"total": 1, "created": 1, "updated": 0, "skipped": 0, "failed": 0}
    storage.assistants.create.assert_awaited_once()
    storage.apply.assert_not_called()


async def test_a_pool_without_rows_has_no_such_agent() -> None:
    assert await fetch_active_agent_by_id(pool_with(), uuid4()) is None
    assert await lazy_sync_agent(pool_with(), MemoryStorage(), agent_id=uuid4(), owner_id="anna") is None
    assert await fetch_active_agents(pool_with(), ALL) == []


async def test_a_row_needs_an_id_and_a_name_and_the_rest_counts_as_null() -> None:
    (agent,) = await fetch_active_agents(pool_with({"agent_id": UUID(int=1), "name": "Ada"}), ALL)
    assert (agent.name, agent.mcp_tools, agent.runtime_model_name) == ("Ada", [], None)
    failures: list[Any] = []
    rows = [{"agent_id": UUID(int=1)}, {"agent_id": UUID(int=2), "name": "Bob"}]
    (agent,) = await fetch_active_agents(pool_with(*rows), ALL, failures=failures)
    assert agent.name == "Bob"
    assert [(each.agent_id, each.field) for each in failures] == [(UUID(int=1), "agents.name")]
    with pytest.raises(ContractBroken, match="agent_id"):
        await fetch_active_agents(pool_with({"name": "Ada"}), ALL)


async def test_a_partial_row_is_one_failure_of_the_batch() -> None:
    rows = [
        {"agent_id": UUID(int=1), "name": "Ada", "engine_id": "e"},
        {"agent_id": UUID(int=2), "name": "Bob", "mcp_tools": [{"tool_name": "x"}]},
        {"agent_id": UUID(int=3), "name": "Eve", "sampling_params": "not JSON"},
        {"agent_id": UUID(int=4), "name": "Joe", "mcp_tools": '[{"endpoint_url": "http://a", "headers": {}}]'},
        {"agent_id": UUID(int=5), "name": "Kim"},
    ]
    counters = await startup_agent_sync(pool_with(*rows), MemoryStorage(), scope=ALL, owner_id="system")
    assert (counters["created"], counters["failed"]) == (1, 4)


@pytest.mark.parametrize("unknown", [{"temperature": 0.7}, {"mcp_config": {}}])
def test_a_field_that_an_agent_does_not_have_is_refused_by_name(unknown: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(unknown))):
        AgentSyncData(agent_id=uuid4(), name="Ada", **unknown)
    with pytest.raises(ValueError, match=next(iter(unknown))):
        AgentSyncMcpTool(tool_id=1, endpoint_url="http://a", **unknown)


def test_the_scopes_have_constructors() -> None:
    assert (str(AgentSyncScope.none()), str(AgentSyncScope.all())) == ("none", "all")
    assert str(AgentSyncScope.orgs([UUID(int=1)])) == f"org:{UUID(int=1)}"
