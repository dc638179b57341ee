"""The body of `agenthall doctor`: all checks, in the order in which a start would fail on them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from robyn_server.core.dsn import normalise_dsn, without_password
from robyn_server.core.errors import AgenthallError, Misconfigured
from robyn_server.runtime.data_directory import DataDirectory
from robyn_server.runtime.embedded_postgres import EmbeddedPostgres, find_running
from robyn_server.runtime.postgres_binaries import find_binaries
from robyn_server.settings import load_settings

from .agent_sync import agent_sync_checks, check_variables
from .checks import Check, check, check_async
from .database import check_database, check_notify
from .identity import identity_checks
from .port import check_port


def examine(host: str, port: int, data_dir: Path) -> list[Check]:
    return list(_checks(host, port, data_dir))


def _checks(host: str, port: int, data_dir: Path) -> Iterator[Check]:
    yield check("settings", lambda: _settings(host, port))
    yield check("port", lambda: check_port(host, port, data_dir))
    if url := os.environ.get("DATABASE_URL"):
        yield from _given_database(url)
    else:
        yield check("programs", _programs)
        yield from _embedded_database(data_dir)


def _settings(host: str, port: int) -> str:
    settings = load_settings(host=host, port=port)
    check_variables(settings)
    return f"AUTH_MODE={settings.auth_mode}, AGENT_SYNC_SCOPE={settings.agent_sync_scope}"


def _programs() -> str:
    binaries = find_binaries()
    return f"PostgreSQL {binaries.version} ({binaries.source}) in {binaries.folder}"


def _given_database(url: str) -> Iterator[Check]:
    try:
        dsn = normalise_dsn(url)
        direct = normalise_dsn(os.environ.get("DATABASE_DIRECT_URL") or url)
    except Misconfigured as error:
        yield Check("database", passed=False, text=str(error))
        return
    yield from _database(dsn, direct)


def _embedded_database(data_dir: Path) -> Iterator[Check]:
    """One that runs is asked; one that does not is started and stopped; an absent one is not made."""
    directory = DataDirectory(data_dir)
    if not directory.has_cluster:
        yield Check("data", passed=True, text=f"{directory.root} is empty; the first `serve` makes the database")
        return
    yield check("data", lambda: f"a database of PostgreSQL {directory.cluster_major()} in {directory.root}")
    if running := find_running(data_dir):
        yield from _database(running, running)
        return
    database = EmbeddedPostgres(data_dir)
    try:
        started = database.start()
    except AgenthallError as error:
        yield Check("database", passed=False, text=str(error))
        return
    try:
        yield from _database(started, started)
    finally:
        database.stop()


def _database(dsn: str, direct: str) -> Iterator[Check]:
    try:
        facts = asyncio.run(check_database(dsn))
    except AgenthallError as error:
        yield Check("database", passed=False, text=str(error))
        return
    yield Check("database", passed=True, text=f"PostgreSQL {facts.version_text} at {without_password(dsn)}")
    yield Check("schemas", facts.may_create_schemas, _may(facts.role, "create schemas", facts.may_create_schemas))
    yield Check("roles", facts.may_create_roles, _may(facts.role, "create roles", facts.may_create_roles))
    yield check_async("notify", _notify(direct))
    yield from agent_sync_checks(dsn)
    yield from identity_checks(dsn)


def _may(role: str, what: str, allowed: bool) -> str:
    return f"{role} may {what}" if allowed else f"{role} may not {what}; `agenthall migrate` needs a role that may"


async def _notify(dsn: str) -> str:
    await check_notify(dsn)
    return "LISTEN and NOTIFY work"
