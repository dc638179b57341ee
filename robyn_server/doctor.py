"""Is this machine, and this database, fit for the server? `check_database` is also asked at every start."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg

from .agent_sync import parse_agent_sync_scope, probe_catalogue
from .core.dsn import normalise_dsn, without_password
from .core.errors import AgenthallError, Misconfigured, Unavailable
from .runtime.data_directory import DataDirectory
from .runtime.embedded_postgres import EmbeddedPostgres, find_running
from .runtime.port import hold_port
from .runtime.postgres_binaries import OLDEST, find_binaries
from .settings import load_settings

CONNECT_SECONDS = 10.0
NOTIFY_SECONDS = 5.0

_FACTS = """
SELECT current_setting('server_version_num')::int AS number,
       current_setting('server_version') AS text,
       current_user AS role,
       role.rolsuper AS is_superuser,
       role.rolsuper OR role.rolcreaterole AS may_create_roles,
       has_database_privilege(current_database(), 'CREATE') AS may_create_schemas
  FROM pg_catalog.pg_roles AS role
 WHERE role.rolname = current_user
"""

_REASONS: dict[type[Exception], str] = {
    asyncpg.InvalidPasswordError: "the password was refused; check user and password in DATABASE_URL",
    asyncpg.InvalidAuthorizationSpecificationError: "the user was refused; check user and pg_hba.conf",
    asyncpg.InvalidCatalogNameError: "there is no such database; create it, or correct the name in DATABASE_URL",
    asyncpg.ClientConfigurationError: "the URL is not understood; check DATABASE_URL",
    ssl.SSLError: "no secure connection; check sslmode and certificates",
    ConnectionRefusedError: "nothing listens there; is the database running, are host and port right?",
    FileNotFoundError: "there is no socket; is the database running, is the directory right?",
    TimeoutError: f"no answer within {CONNECT_SECONDS:.0f} seconds; is the host right, does a firewall stand between?",
    OSError: "it cannot be reached; check host and port in DATABASE_URL",
}
"""By the first class in an error's MRO that is listed."""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """`version` is the major version; `version_text` as the database writes it, such as `18.6`."""

    version: int
    version_text: str
    role: str
    is_superuser: bool
    may_create_roles: bool
    may_create_schemas: bool


async def check_database(dsn: str) -> DatabaseFacts:
    """What the server needs to know of the database at `dsn`.

    Raises Misconfigured when it cannot be reached, refuses us or is too old: with the reason and a hint, never with
    the password. Raises Unavailable when it is there but takes nobody in just now.
    """
    connection = await _connect(dsn)
    try:
        row = await connection.fetchrow(_FACTS)
    finally:
        await connection.close()
    return _facts(row, dsn)


def _facts(row: asyncpg.Record | None, dsn: str) -> DatabaseFacts:
    if row is None:
        raise Misconfigured(f"the database at {without_password(dsn)} does not know its own user", field="DATABASE_URL")
    if row["number"] // 10000 < OLDEST:
        raise Misconfigured(
            f"the database at {without_password(dsn)} is PostgreSQL {row['text']}; Agenthall needs {OLDEST} or newer",
            field="DATABASE_URL",
        )
    return DatabaseFacts(
        version=row["number"] // 10000,
        version_text=row["text"],
        role=row["role"],
        is_superuser=row["is_superuser"],
        may_create_roles=row["may_create_roles"],
        may_create_schemas=row["may_create_schemas"],
    )


async def _connect(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    """One connection, without prepared statements that outlive a query: a pooler may stand between."""
    try:
        return await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, statement_cache_size=0)
    except (asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError) as error:
        raise Unavailable(f"the database at {without_password(dsn)} takes no connections now: {error}") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, ValueError) as error:
        raise Misconfigured(
            f"the database at {without_password(dsn)} does not work: {_reason(error)}", field="DATABASE_URL"
        ) from None


def _reason(error: Exception) -> str:
    for kind in type(error).__mro__:
        if kind in _REASONS:
            return _REASONS[kind]
    return f"{type(error).__name__}: {error}"


async def check_notify(dsn: str) -> None:
    """Raises Misconfigured when a notification does not come back: a transaction pooler swallows them."""
    channel, received = f"agenthall_doctor_{uuid4().hex[:8]}", asyncio.Event()
    connection = await _connect(dsn)
    try:
        await connection.add_listener(channel, lambda *_: received.set())
        await connection.execute("SELECT pg_notify($1, '')", channel)
        await asyncio.wait_for(received.wait(), NOTIFY_SECONDS)
    except TimeoutError:
        raise Misconfigured(
            "LISTEN receives nothing: a pooler stands between; set DATABASE_DIRECT_URL to a direct connection",
            field="DATABASE_DIRECT_URL",
        ) from None
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    passed: bool
    text: str


def examine(host: str, port: int, data_dir: Path) -> list[Check]:
    """All checks, in the order in which a start would fail on them."""
    return list(_checks(host, port, data_dir))


def _checks(host: str, port: int, data_dir: Path) -> Iterator[Check]:
    yield _check("settings", lambda: _settings(host, port))
    yield _check("port", lambda: _port(host, port))
    if url := os.environ.get("DATABASE_URL"):
        yield from _given_database(url)
    else:
        yield _check("programs", _programs)
        yield from _embedded_database(data_dir)


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, passed=True, text=look())
    except AgenthallError as error:
        return Check(name, passed=False, text=str(error))


def _settings(host: str, port: int) -> str:
    settings = load_settings(host=host, port=port)
    try:
        parse_agent_sync_scope(settings.agent_sync_scope)
    except ValueError as error:
        raise Misconfigured(f"AGENT_SYNC_SCOPE: {error}", field="AGENT_SYNC_SCOPE") from None
    return f"AUTH_MODE={settings.auth_mode}, AGENT_SYNC_SCOPE={settings.agent_sync_scope}"


def _port(host: str, port: int) -> str:
    try:
        with hold_port(host, port) as held:
            return f"{held.getsockname()[1]} on {host} is free"
    except Misconfigured:
        if _is_ours(host, port):
            return f"{port} on {host} is served by an Agenthall"
        raise


def _is_ours(host: str, port: int) -> bool:
    """Whether `GET /ok` answers as ours does."""
    import httpx  # here: whoever only checks a database does not pay for it

    try:
        answer = httpx.get(f"http://{f'[{host}]' if ':' in host else host}:{port}/livez", timeout=2, trust_env=False)
        return bool(answer.json() == {"ok": True})
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return False


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
    yield _check("data", lambda: f"a database of PostgreSQL {directory.cluster_major()} in {directory.root}")
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
    yield _check("notify", lambda: _notify(direct))
    yield _check("catalogue", lambda: asyncio.run(_catalogue(dsn)))


def _may(role: str, what: str, allowed: bool) -> str:
    return f"{role} may {what}" if allowed else f"{role} may not {what}; `agenthall migrate` needs a role that may"


def _notify(dsn: str) -> str:
    asyncio.run(check_notify(dsn))
    return "LISTEN and NOTIFY work"


async def _catalogue(dsn: str) -> str:
    """What agent sync would find, column by column. Raises CatalogueUnavailable naming what is missing."""
    url = os.environ.get("CATALOGUE_DATABASE_URL")
    connection = await _connect(normalise_dsn(url) if url else dsn)
    try:
        contract = await probe_catalogue(connection)
    finally:
        await connection.close()
    if contract.is_absent and os.environ.get("AGENT_SYNC_SCOPE", "none").strip().lower() in {"", "none"}:
        return "there is none, and no AGENT_SYNC_SCOPE asks for one"
    contract.ensure_usable()
    absent = f"; absent optional columns: {', '.join(contract.absent_columns)}" if contract.absent_columns else ""
    return f"its tables and columns can be read{absent}"


def table(checks: list[Check]) -> str:
    """One line per check."""
    width = max(len(check.name) for check in checks)
    return "\n".join(f"{'ok  ' if one.passed else 'FAIL'}  {one.name:<{width}}  {one.text}" for one in checks)
