"""`agenthall doctor`: all checks, in the order in which a start would fail on them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from robyn_server.core.errors import AgenthallError, Misconfigured
from robyn_server.core.urls.dsn import normalise_dsn, without_password
from robyn_server.settings import find_unknown, load_settings
from robyn_server.supervisor.address_file import RunningServer, find_running_server
from robyn_server.supervisor.postgres.binaries import find_binaries
from robyn_server.supervisor.postgres.data_directory import DataDirectory
from robyn_server.supervisor.postgres.server import EmbeddedPostgres, find_running

from .check import Check, check, check_async
from .checks.agent_sync import agent_sync_checks, check_variables
from .checks.credentials import credential_checks
from .checks.egress import egress_checks
from .checks.graphs import graph_checks
from .checks.identity import identity_checks
from .checks.models import model_checks
from .checks.proxy import proxy_checks
from .checks.redis import redis_checks
from .checks.registered_agents import registered_agents_checks
from .checks.tracing import check_traces
from .database import check_database, check_notify, check_schema
from .port import check_port
from .running_server import describe_settings


def run_checks(host: str, port: int, data_dir: Path, *, port_is_default: bool = False) -> list[Check]:
    """Run all checks.

    A server that runs in `data_dir` lends its settings, and its port, where this process has none.
    """
    server = find_running_server(data_dir)
    if server is not None and port_is_default:
        port = urlsplit(server.url).port or port
    with _borrowed({} if server is None else server.settings):
        return list(_checks(host, port, data_dir, server))


@contextmanager
def _borrowed(settings: Mapping[str, str]) -> Iterator[None]:
    absent = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(absent)
    try:
        yield
    finally:
        for name in absent:
            del os.environ[name]


def _checks(host: str, port: int, data_dir: Path, server: RunningServer | None) -> Iterator[Check]:
    if server is not None:
        yield check("server", lambda: describe_settings(server))
    yield check("settings", lambda: _settings(host, port))
    yield check("traces", check_traces)
    yield from graph_checks()
    keys = () if server is None else server.keys
    yield check("port", lambda: check_port(host, port, data_dir))
    yield from proxy_checks(host)
    yield from redis_checks(host, port)
    if url := os.environ.get("DATABASE_URL"):
        yield from _given_database(url, data_dir, keys)
    else:
        yield check("programs", _programs)
        yield from _embedded_database(data_dir, keys)


def _settings(host: str, port: int) -> str:
    settings = load_settings(host=host, port=port)
    check_variables(settings)
    unknown = find_unknown(os.environ)
    ignored = f"; no settings, and ignored: {', '.join(unknown)}" if unknown else ""
    return f"AUTH_MODE={settings.auth_mode}, AGENT_SYNC_SCOPE={settings.agent_sync_scope}{ignored}"


def _programs() -> str:
    binaries = find_binaries()
    return f"PostgreSQL {binaries.version} ({binaries.source}) in {binaries.folder}"


def _given_database(url: str, data_dir: Path, keys: Collection[str]) -> Iterator[Check]:
    try:
        dsn = normalise_dsn(url)
        direct = normalise_dsn(os.environ.get("DATABASE_DIRECT_URL") or url)
    except Misconfigured as error:
        yield Check("database", passed=False, text=str(error))
        return
    yield from _database(dsn, direct, data_dir, keys)


def _embedded_database(data_dir: Path, keys: Collection[str]) -> Iterator[Check]:
    """Check a running database. Start and stop one that does not run. Do not create one that does not exist."""
    directory = DataDirectory(data_dir)
    if not directory.has_cluster:
        yield Check("data", passed=True, text=f"{directory.root} is empty; the first `serve` makes the database")
        return
    yield check("data", lambda: f"a database of PostgreSQL {directory.cluster_major()} in {directory.root}")
    if running := find_running(data_dir):
        yield from _database(running, running, data_dir, keys)
        return
    database = EmbeddedPostgres(data_dir)
    try:
        started = database.start()
    except AgenthallError as error:
        yield Check("database", passed=False, text=str(error))
        return
    try:
        yield from _database(started, started, data_dir, keys)
    finally:
        database.stop()


def _database(dsn: str, direct: str, data_dir: Path, keys: Collection[str]) -> Iterator[Check]:
    try:
        properties = asyncio.run(check_database(dsn))
    except AgenthallError as error:
        yield Check("database", passed=False, text=str(error))
        return
    yield Check("database", passed=True, text=f"PostgreSQL {properties.version_text} at {without_password(dsn)}")
    yield Check(
        "schemas",
        properties.may_create_schemas,
        _permission_text(properties.role, "create schemas", properties.may_create_schemas),
    )
    yield Check(
        "roles",
        properties.may_create_roles,
        _permission_text(properties.role, "create roles", properties.may_create_roles),
    )
    yield check_async("schema", check_schema(dsn))
    yield check_async("notify", _notify(direct))
    yield from agent_sync_checks(dsn)
    yield from registered_agents_checks(dsn)
    yield from credential_checks(dsn, data_dir)
    yield from egress_checks(dsn)
    yield from model_checks(dsn, keys)
    yield from identity_checks(dsn)


def _permission_text(role: str, what: str, allowed: bool) -> str:
    return f"{role} may {what}" if allowed else f"{role} may not {what}; `agenthall migrate` needs a role that may"


async def _notify(dsn: str) -> str:
    await check_notify(dsn)
    return "LISTEN and NOTIFY work"
