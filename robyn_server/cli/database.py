"""The database for a command that works on it directly, whether or not a server runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def database_setting(data_dir: Path) -> Iterator[dict[str, str]]:
    """The setting that names the database: none where DATABASE_URL does, else the embedded one, started if need be."""
    if os.environ.get("DATABASE_URL"):
        yield {}
        return
    from robyn_server.runtime.embedded_postgres import EmbeddedPostgres, find_running

    if running := find_running(data_dir):
        yield {"database_url": running}
        return
    database = EmbeddedPostgres(data_dir)
    try:
        yield {"database_url": database.start()}
    finally:
        database.stop()


@contextmanager
def wrong_usage() -> Iterator[None]:
    """What a service refuses as invalid was typed here: it is told as wrong usage, Misconfigured."""
    from robyn_server.core.errors import Invalid, Misconfigured

    try:
        yield
    except Invalid as error:
        raise Misconfigured(error.detail) from None
