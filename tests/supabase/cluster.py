"""A PostgreSQL with the layout of Supabase, behind PgBouncer with a session port and a transaction port."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import jwt
from servers.live_server import accepts, free_port, until

from robyn_server.supervisor.postgres.server import EmbeddedPostgres

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "how-to" / "supabase.md"
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
_STARTUP = "extra_float_digits"
_SETTINGS = "search_path, role, jit, plan_cache_mode"
"""Supabase's pooler ignores these parameters silently. PgBouncer refuses them."""

_POOL_SIZE = 40
"""Connections of each pooler: enough for two webs and a worker, within the 100 of PostgreSQL."""

SECRET = "the legacy secret of a project, long enough"
ISSUER = "https://project.supabase.co/auth/v1"
PASSWORDS = {
    "postgres": "postgres-password",
    "agenthall_catalogue": "catalogue-password",
}


@dataclass(frozen=True, slots=True)
class Supabase:
    """`direct`, `session`, `transaction`: ports."""

    admin: str
    direct: int
    session: int
    transaction: int

    def url(self, port: int, user: str = "postgres", *, query: str = "") -> str:
        return f"postgresql://{user}:{PASSWORDS[user]}@127.0.0.1:{port}/postgres{query}"


@contextlib.asynccontextmanager
async def supabase(environment: Mapping[str, str] = os.environ) -> AsyncIterator[Supabase]:
    """Create the layout on an empty cluster. `environment` may name other programs by PGBIN."""
    folder = Path(tempfile.mkdtemp(prefix="agenthall-supabase-"))
    direct, session, transaction = free_port(), free_port(), free_port()
    options = {"listen_addresses": "127.0.0.1", "port": str(direct), "fsync": "off"}
    postgres = EmbeddedPostgres(folder / "database", options=options, environment=environment)
    try:
        postgres.start()
        admin = await _create_layout(direct, postgres.directory.password())
        with (
            pgbouncer(folder / "session", session, direct, "session", ignored=f"{_STARTUP}, options, {_SETTINGS}"),
            pgbouncer(folder / "transaction", transaction, direct, "transaction", ignored=_STARTUP),
        ):
            await until(lambda: accepts(session) and accepts(transaction))
            yield Supabase(admin, direct, session, transaction)
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _create_layout(port: int, password: str) -> str:
    """Create the layout and return the superuser's URL. A role cannot rename itself, so another superuser does it."""
    await execute(
        f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres",
        "create role aide superuser login password 'aide'",
    )
    await execute(f"postgresql://aide:aide@127.0.0.1:{port}/postgres", "alter role postgres rename to supabase_admin")
    admin = f"postgresql://supabase_admin:{password}@127.0.0.1:{port}/postgres"
    await execute(admin, "drop role aide; " + (HERE / "layout.sql").read_text())
    return admin


@contextlib.contextmanager
def pgbouncer(folder: Path, port: int, database: int, mode: str, *, ignored: str) -> Iterator[None]:
    """Run PgBouncer. It refuses unknown startup parameters unless they are `ignored`. As root, it runs as nobody."""
    assert PGBOUNCER is not None
    folder.mkdir()
    folder.parent.chmod(0o755)
    users, configuration = folder / "users.txt", folder / "pgbouncer.ini"
    users.write_text("".join(f'"{user}" "{password}"\n' for user, password in PASSWORDS.items()))
    configuration.write_text(
        f"[databases]\npostgres = host=127.0.0.1 port={database}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = plain\nauth_file = {users}\npool_mode = {mode}\ndefault_pool_size = {_POOL_SIZE}\n"
        f"max_client_conn = 200\nignore_startup_parameters = {ignored}\n"
    )
    as_nobody = ["-u", "nobody"] if os.geteuid() == 0 else []
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [PGBOUNCER, *as_nobody, str(configuration)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


async def execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def rows(url: str, sql: str, role: str | None = None) -> list[tuple[object, ...]]:
    """Return the rows that `role` sees, as through PostgREST, or the login itself."""
    connection = await asyncpg.connect(url)
    try:
        if role is not None:
            await connection.execute(f"set role {role}")
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


def bearer(subject: str | None, *, role: str = "authenticated", **claims: object) -> dict[str, str]:
    """Build the header of a Supabase Auth session, signed with the legacy secret."""
    named = {} if subject is None else {"sub": subject, "aud": "authenticated"}
    claims = {"iss": ISSUER, "role": role, "exp": int(time.time()) + 6 * 3600, **named, **claims}
    return {"authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


def variable_of_page(name: str) -> str:
    """A variable's value in docs/how-to/supabase.md."""
    found = re.search(rf"^{name}='(.*)'$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, name
    return found[1]


def sql_of_page(heading: str) -> str:
    """The SQL under a heading of docs/how-to/supabase.md: what a reader pastes is what the tests run."""
    text = PAGE.read_text(encoding="utf-8")
    section = re.search(rf"^##+ {re.escape(heading)}$(.*?)(?=^##+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None, heading
    return "\n".join(re.findall(r"^```sql\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL))
