"""A psql on the server's database: what a person needs who wants to add a row."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from robyn_server.core.dsn import normalise_dsn, without_password
from robyn_server.core.errors import Misconfigured

from .embedded_postgres import find_running
from .postgres_binaries import find_binaries


def run_psql(data_dir: Path, arguments: Sequence[str]) -> NoReturn:
    """Becomes psql. Raises Misconfigured when there is no database to talk to."""
    url = os.environ.get("DATABASE_URL")
    dsn = normalise_dsn(url) if url else find_running(data_dir)
    if dsn is None:
        raise Misconfigured(
            f"no server runs on {data_dir}; start `agenthall serve`, or set DATABASE_URL", field="DATABASE_URL"
        )
    program = find_binaries().program("psql")
    password = urlsplit(dsn).password
    environment = dict(os.environ) | ({"PGPASSWORD": unquote(password)} if password else {})
    os.execve(program, ["psql", without_password(dsn), *arguments], environment)  # noqa: S606 - our own program
