"""psql on the server's database, for operators."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit
from uuid import UUID

from robyn_server.core.errors import Misconfigured
from robyn_server.core.urls.dsn import normalise_dsn, without_password

from .binaries import find_binaries
from .server import find_running


def run_psql(data_dir: Path, arguments: Sequence[str], tenant_id: UUID | None = None) -> NoReturn:
    """Replace this process with psql, which sees what `tenant_id` sees (None: everything).

    Raises Misconfigured if there is no database.
    """
    url = os.environ.get("DATABASE_URL")
    dsn = normalise_dsn(url) if url else find_running(data_dir)
    if dsn is None:
        raise Misconfigured(
            f"no server runs on {data_dir}; start `agenthall serve`, or set DATABASE_URL", field="DATABASE_URL"
        )
    program = find_binaries().program("psql")
    password = urlsplit(dsn).password
    environment = dict(os.environ) | ({"PGPASSWORD": unquote(password)} if password else {})
    if tenant_id is not None:
        dsn = acting_for(dsn, tenant_id, os.environ.get("PGOPTIONS", ""))
    elif sys.stdin.isatty() and sys.stdout.isatty():
        sys.stderr.write("agenthall: this shell sees every organization; with --tenant UUID it sees one\n")
    os.execve(program, ["psql", without_password(dsn), *arguments], environment)  # noqa: S606 - our own program


def acting_for(dsn: str, tenant_id: UUID, options: str) -> str:
    """Add options to the URL that set the role and the tenant of the session. `options`: those of the environment.

    It saves an operator from seeing other organizations by mistake. It does not confine: `reset role` leaves the role.
    """
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    given = query.get("options", options)  # libpq ignores PGOPTIONS if the URL has options
    query["options"] = f"{given} -c role=agenthall_app -c app.tenant_id={tenant_id}".strip()
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote, safe="/")))
