"""Checks of agent sync: its settings, its sources of agents, and its last passes.

Variables are read one by one. Wrong ones are reported by `check_variables`, and the others are checked all the same.
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
from robyn_server.agent_sync.catalogue_db.source import TABLES, WRITTEN_BACK
from robyn_server.agent_sync.options import configured_catalogue, configured_scope, configured_sources
from robyn_server.core.catalogue.fields import AgentSource
from robyn_server.core.errors import CatalogueUnavailable, Misconfigured
from robyn_server.doctor.check import Check, check_async
from robyn_server.doctor.database import connect_as_system, connect_to_catalogue
from robyn_server.settings import Settings, load_settings
from robyn_server.storage.agent_sync.passes import AgentSyncPasses, describe_pass


def check_variables(settings: Settings) -> None:
    """Validate the variables. Raises Misconfigured naming the first wrong one."""
    configured_scope(settings.agent_sync_scope)
    configured_source()
    _sources()


def settings_of_sync() -> Settings | None:
    """Return the settings; None if nothing is synced, and with wrong settings, which are reported elsewhere."""
    try:
        settings = load_settings(host="127.0.0.1")
        scope = configured_scope(settings.agent_sync_scope)
    except Misconfigured:
        return None
    return None if scope.type == "none" else settings


def agent_sync_checks(dsn: str) -> Iterator[Check]:
    if _reads_from(AgentSource.CATALOGUE):
        yield check_async("catalogue", _catalogue(dsn))
    if _reads_from(AgentSource.CONFIGURATION):
        yield check_async("configurations", _configurations(dsn))
    yield check_async("passes", _last_passes(dsn))


def _sources() -> tuple[AgentSource, ...]:
    return configured_sources(os.environ.get("AGENT_SYNC_SOURCES", "catalogue"))


def _reads_from(source: AgentSource) -> bool:
    """Return whether the source is configured.

    With wrong settings, which are reported elsewhere, every source is checked.
    """
    try:
        return source in _sources()
    except Misconfigured:
        return True


def configured_source() -> CatalogueSource:
    given = os.environ.get
    return configured_catalogue(given("AGENT_SYNC_CATALOGUE", TABLES), given("AGENT_SYNC_WRITE_BACK_TO", WRITTEN_BACK))


async def _catalogue(dsn: str) -> str:
    """Describe the catalogue as agent sync reads it. Raises CatalogueUnavailable naming missing tables and columns."""
    source = configured_source()
    async with connect_to_catalogue(dsn) as connection:
        contract = await probe_catalogue(connection, source)
        installed = await is_feed_installed(connection, source)
    if contract.is_absent and os.environ.get("AGENT_SYNC_SCOPE", "none").strip().lower() in {"", "none"}:
        return "there is none, and AGENT_SYNC_SCOPE needs none"
    contract.ensure_usable()
    absent = f"; absent optional columns: {', '.join(contract.absent_columns)}" if contract.absent_columns else ""
    return f"{source} can be read{absent}; {_how_edits_are_found(contract, installed=installed)}"


def _how_edits_are_found(contract: CatalogueContract, *, installed: bool) -> str:
    if installed:
        return "its triggers report edits"
    unreadable = contract.unreadable_clocks
    without = [relation for relation in contract.without_clock if relation not in unreadable]
    polled = "edits are found by updated_at" if contract.clocks else "edits are found by full passes only"
    return (
        f"no triggers, {polled}"
        + (f"; no SELECT on updated_at: {', '.join(unreadable)}" if unreadable else "")
        + (f"; without updated_at: {', '.join(without)}" if without else "")
    )


async def _configurations(dsn: str) -> str:
    """Count the configurations that agent sync reads. Raises CatalogueUnavailable with the reason."""
    async with connect_as_system(dsn, str(CONFIGURATIONS.view), "configurations") as connection:
        if connection is None:
            return "none yet"
        (await probe_catalogue(connection, CONFIGURATIONS)).ensure_usable()
        count = await count_active_agents(connection, AgentSyncScope("all"), CONFIGURATIONS)
    return f"{count} that can run here, in all organizations"


async def _last_passes(dsn: str) -> str:
    """Describe the last passes of all replicas. Raises CatalogueUnavailable if the last pass failed."""
    what = "the last passes of agent sync"
    async with connect_as_system(dsn, "agenthall.agent_sync_passes", what) as connection:
        if connection is None:
            return "none yet"
        records = await AgentSyncPasses(connection).latest()
    text = "; ".join(describe_pass(record) for record in records)
    if records and records[0].failure is not None:
        raise CatalogueUnavailable(text)
    return text or "none yet"
