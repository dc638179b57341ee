"""Read agents from the catalogue, one query per page, and parse each row on its own.

Pages are by key, so memory is flat, and a row that is added meanwhile does not shift others.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import orjson
import structlog
from pydantic import ValidationError

from robyn_server.agent_sync.errors import AgentRejected, ContractBroken
from robyn_server.agent_sync.model import AgentSyncData
from robyn_server.agent_sync.options import DEFAULT_OPTIONS
from robyn_server.agent_sync.scope import AgentSyncScope
from robyn_server.core.ids import find_uuid

from .contract import CatalogueContract, last_found, probe_catalogue, reading_catalogue
from .fields import FIELDS
from .queries import OF_ORGANIZATIONS, agents_query, bound, ids_query, scope_conditions
from .reasons import rejected_in
from .source import STANDARD, CataloguePool, CatalogueSource

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")

_PARSED = tuple(field for field in FIELDS if field.name in AgentSyncData.model_fields)
_JSON = tuple(field.name for field in _PARSED if field.is_json)
_PLAIN = (*(field.name for field in _PARSED if not field.is_json), "read_at")
_GLOBAL_ENGINE = "global"


async def fetch_active_agents(
    pool: CataloguePool,
    scope: AgentSyncScope,
    *,
    failures: list[AgentRejected] | None = None,
    source: CatalogueSource = STANDARD,
) -> list[AgentSyncData]:
    """Every active agent in `scope`, by id. Bad rows go to `failures`, or into the log.

    Raises CatalogueUnavailable. Holds all agents in memory; use `agent_pages` where memory has to stay flat.
    """
    rejected: list[AgentRejected] = [] if failures is None else failures
    agents = [agent async for page in agent_pages(pool, scope, rejected, source=source) for agent in page]
    if failures is None:
        for rejection in rejected:
            _log.warning("agent rejected", agent_id=str(rejection.agent_id), reason=rejection.detail)
    return agents


async def agent_pages(
    pool: CataloguePool,
    scope: AgentSyncScope,
    failures: list[AgentRejected],
    *,
    size: int = DEFAULT_OPTIONS.page_size,
    source: CatalogueSource = STANDARD,
) -> AsyncGenerator[list[AgentSyncData], None]:
    """The agents of `scope` in pages. The bad rows of a page are in `failures` when the page is yielded."""
    if scope.type == "none":
        return
    contract, after = last_found(pool, source), None
    while True:
        contract, rows = await read_under_contract(
            pool, source, contract, page_of_agents(pool, source, scope, after, size)
        )
        if not rows and after is None:
            (
                await probe_catalogue(pool, source)
            ).ensure_usable()  # a column of another type may make every agent inactive
        yield parse_agents(rows, failures, source)
        if len(rows) < size:
            return
        after = rows[-1]["agent_id"]


async def fetch_active_agent_by_id(
    pool: CataloguePool,
    agent_id: UUID,
    *,
    organizations: frozenset[UUID] | None = None,
    source: CatalogueSource = STANDARD,
) -> AgentSyncData | None:
    """One active agent, or None. With `organizations` an agent of another one, or of none, is not even read.

    Raises CatalogueUnavailable, and AgentRejected for a row that cannot be served.
    """
    _, row = await read_under_contract(
        pool, source, last_found(pool, source), _one(pool, source, agent_id, organizations)
    )
    if row is None:
        (await probe_catalogue(pool, source)).ensure_usable()  # a row that row-level security hides is not absent
        return None
    return parse_agent(row, source)


async def absent_since(pool: CataloguePool, agent_id: UUID, source: CatalogueSource = STANDARD) -> datetime | None:
    """The time on the catalogue database's clock at which there was no such active agent; None: there is one.

    Raises CatalogueUnavailable.
    """

    def ask(contract: CatalogueContract) -> Awaitable[Any]:
        one = ids_query(source, contract, [f"{source.key} = :agent_id"], limit=1)
        return pool.fetchrow(*bound(f"select now() as read_at, exists ({one}) as is_there", agent_id=agent_id))

    _, row = await read_under_contract(pool, source, last_found(pool, source), ask)
    found_at: datetime = row["read_at"]
    return None if row["is_there"] else found_at


def page_of_agents(
    pool: CataloguePool, source: CatalogueSource, scope: AgentSyncScope, after: UUID | None, size: int
) -> Callable[[CatalogueContract], Awaitable[Any]]:
    """Reads, under a contract, the `size` agents after `after` (None: the first) as rows for `parse_agent`."""
    conditions, values = scope_conditions(scope)
    if after is not None:
        conditions.append(f"{source.key} > :after")
        values["after"] = after
    return lambda contract: pool.fetch(
        *bound(agents_query(source, contract, conditions, limit=":size"), **values, size=size)
    )


def _one(
    pool: CataloguePool, source: CatalogueSource, agent_id: UUID, organizations: frozenset[UUID] | None
) -> Callable[[CatalogueContract], Awaitable[Any]]:
    values: dict[str, Any] = {"agent_id": agent_id}
    conditions = [f"{source.key} = :agent_id"]
    if organizations is not None:
        conditions.append(OF_ORGANIZATIONS)
        values["organization_ids"] = sorted(organizations)
    return lambda contract: pool.fetchrow(*bound(agents_query(source, contract, conditions, limit="1"), **values))


async def read_under_contract(
    pool: CataloguePool,
    source: CatalogueSource,
    contract: CatalogueContract,
    ask: Callable[[CatalogueContract], Awaitable[_T]],
) -> tuple[CatalogueContract, _T]:
    """The answer, and the contract that it was read under: when the database refuses the query, the contract is probed
    again.

    Raises CatalogueUnavailable.
    """
    try:
        async with reading_catalogue():
            return contract, await ask(contract)
    except ContractBroken:
        found = await probe_catalogue(pool, source)
        found.ensure_usable()
        if found.absent_columns == contract.absent_columns:
            raise
    _log.warning("the catalogue lacks optional columns", columns=list(found.absent_columns))
    async with reading_catalogue():
        return found, await ask(found)


def parse_agents(
    rows: Iterable[Mapping[str, Any]], failures: list[AgentRejected], source: CatalogueSource = STANDARD
) -> list[AgentSyncData]:
    """The good rows in their order; each bad one is added to `failures`."""
    agents = []
    for row in rows:
        try:
            agents.append(parse_agent(row, source))
        except AgentRejected as rejection:
            failures.append(rejection)
    return agents


def parse_agent(row: Mapping[str, Any], source: CatalogueSource = STANDARD) -> AgentSyncData:
    """Raises AgentRejected for the first thing that is wrong with the row.

    A column that the row lacks counts as null.
    """
    try:
        return _parsed(row)
    except AgentRejected as rejection:
        raise rejected_in(source, rejection) from None


def _parsed(row: Mapping[str, Any]) -> AgentSyncData:
    agent_id = _agent_id(row)
    _check_engine(agent_id, row)
    try:
        return AgentSyncData(
            **{name: row.get(name) for name in _PLAIN} | {"agent_id": agent_id},
            **{name: _parse_json(agent_id, row, name) for name in _JSON},
            registry_id=row.get("registry_id"),
        )
    except ValidationError as error:
        raise _rejection(agent_id, error) from None


def _agent_id(row: Mapping[str, Any]) -> UUID:
    """Raises ContractBroken: without an id there is no agent that could fail."""
    given = row.get("agent_id")
    agent_id = find_uuid(given) if isinstance(given, str) else given
    if not isinstance(agent_id, UUID):
        raise ContractBroken(f"The catalogue cannot be read: the agent_id of a row is {given!r}, and no UUID")
    return agent_id


def _check_engine(agent_id: UUID, row: Mapping[str, Any]) -> None:
    """An engine without a model is a failure: else the default model would answer in its place, unnoticed."""
    if row.get("engine_id") is None:
        return
    if not row.get("engine_found"):
        if row.get("engine_type") not in {None, _GLOBAL_ENGINE}:
            raise AgentRejected(agent_id, "agents.engine_type", "only global engines can be resolved")
        raise AgentRejected(agent_id, "agents.engine_id", "no such row in global_ai_engines")
    if not row.get("runtime_model_name"):
        raise AgentRejected(
            agent_id, "global_ai_engines.language_model_id", "leads to no row of ai_models with a runtime_model_name"
        )


def _check_tools(agent_id: UUID, tools: Any) -> Any:
    """A view may leave `tool_found` out: what it lists exists."""
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise AgentRejected(agent_id, "agents.mcp_tools", "not an array of objects")
    for tool in tools:
        if not tool.get("tool_found", True):
            raise AgentRejected(agent_id, "agent_mcp_tools.mcp_tool_id", f"no tool {tool.get('tool_id')} in mcp_tools")
    return [{name: value for name, value in tool.items() if name != "tool_found"} for tool in tools]


def _parse_json(agent_id: UUID, row: Mapping[str, Any], column: str) -> Any:
    value = row.get(column)
    try:
        parsed = orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError as error:
        raise AgentRejected(agent_id, f"agents.{column}", f"not JSON that can be read: {error}") from None
    return _check_tools(agent_id, parsed or []) if column == "mcp_tools" else parsed


def _rejection(agent_id: UUID, error: ValidationError) -> AgentRejected:
    # not `str(error)`, which repeats values: a prompt or a URL must not get into logs
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return AgentRejected(agent_id, where if where.startswith("mcp_tools") else f"agents.{where}", first["msg"])
