"""Agent sync: what its settings say, what it would find where agents come from, and what its last passes came to.

Variables are read one by one: those that are wrong have been told of, and the rest is looked at all the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from robyn_server.agent_sync import (
    CONFIGURATIONS,
    AgentSyncScope,
    CatalogueContract,
    CatalogueSource,
    count_active_agents,
    is_feed_installed,
    probe_catalogue,
)
from robyn_server.agent_sync.settings import configured_catalogue, configured_scope, configured_sources
from robyn_server.agent_sync.source import TABLES, WRITTEN_BACK
from robyn_server.core.catalogue import AgentSource
from robyn_server.core.errors import CatalogueUnavailable, Misconfigured
from robyn_server.settings import Settings
from robyn_server.storage.agent_sync_passes import AgentSyncPasses, told_pass

from .checks import Check, check_async
from .database import connected_as_system, connected_to_catalogue


def check_variables(settings: Settings) -> None:
    """Raises Misconfigured naming the first that is wrong."""
    configured_scope(settings.agent_sync_scope)
    _source()
    _sources()


def agent_sync_checks(dsn: str) -> Iterator[Check]:
    if _is_source(AgentSource.CATALOGUE):
        yield check_async("catalogue", _catalogue(dsn))
    if _is_source(AgentSource.CONFIGURATION):
        yield check_async("configurations", _configurations(dsn))
    yield check_async("passes", _last_passes(dsn))


def _sources() -> tuple[AgentSource, ...]:
    return configured_sources(os.environ.get("AGENT_SYNC_SOURCES", "catalogue"))


def _is_source(source: AgentSource) -> bool:
    """Of settings that are wrong, which was said before, everything is looked at."""
    try:
        return source in _sources()
    except Misconfigured:
        return True


def _source() -> CatalogueSource:
    given = os.environ.get
    return configured_catalogue(given("AGENT_SYNC_CATALOGUE", TABLES), given("AGENT_SYNC_WRITE_BACK_TO", WRITTEN_BACK))


async def _catalogue(dsn: str) -> str:
    """What agent sync would find, column by column. Raises CatalogueUnavailable naming what is missing."""
    source = _source()
    async with connected_to_catalogue(dsn) as connection:
        contract = await probe_catalogue(connection, source)
        installed = await is_feed_installed(connection, source)
    if contract.is_absent and os.environ.get("AGENT_SYNC_SCOPE", "none").strip().lower() in {"", "none"}:
        return "there is none, and no AGENT_SYNC_SCOPE asks for one"
    contract.ensure_usable()
    absent = f"; absent optional columns: {', '.join(contract.absent_columns)}" if contract.absent_columns else ""
    return f"{source} can be read{absent}; {_how_edits_are_found(contract, installed=installed)}"


def _how_edits_are_found(contract: CatalogueContract, *, installed: bool) -> str:
    if installed:
        return "its triggers tell of edits"
    without = contract.without_clock
    polled = "edits are found by updated_at" if contract.clocks else "edits are found by full passes only"
    return f"no triggers, {polled}" + (f"; without updated_at: {', '.join(without)}" if without else "")


async def _configurations(dsn: str) -> str:
    """How many configurations agent sync would find. Raises CatalogueUnavailable naming what is wrong."""
    async with connected_as_system(dsn, str(CONFIGURATIONS.view), "configurations") as connection:
        if connection is None:
            return "none yet"
        (await probe_catalogue(connection, CONFIGURATIONS)).ensure_usable()
        count = await count_active_agents(connection, AgentSyncScope("all"), CONFIGURATIONS)
    return f"{count} that can be run here, in all organisations"


async def _last_passes(dsn: str) -> str:
    """As any replica tells it. Raises CatalogueUnavailable when the last pass of a scope failed."""
    what = "the last passes of agent sync"
    async with connected_as_system(dsn, "agenthall.agent_sync_passes", what) as connection:
        if connection is None:
            return "none yet"
        records = await AgentSyncPasses(connection).last()
    told = "; ".join(told_pass(record) for record in records)
    if records and records[0].failure is not None:
        raise CatalogueUnavailable(told)
    return told or "none yet"
