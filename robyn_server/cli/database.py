"""The database of commands that use it directly, whether or not a server runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def given_database() -> str | None:
    """DATABASE_URL, also of the project in this folder. None: the embedded database."""
    from robyn_server.projects import apply_project

    apply_project(os.environ, Path.cwd())
    return os.environ.get("DATABASE_URL") or None


@contextmanager
def database_setting(data_dir: Path) -> Iterator[dict[str, str]]:
    """Yield the setting of the database: none if DATABASE_URL is set, else the embedded one, which is started if it
    does not run."""
    if given_database():
        yield {}
        return
    from robyn_server.supervisor.output.progress_line import progress_line
    from robyn_server.supervisor.postgres.server import EmbeddedPostgres, find_running

    if running := find_running(data_dir):
        yield {"database_url": running}
        return
    database = EmbeddedPostgres(data_dir)
    with progress_line() as on_progress:
        url = database.start(on_progress)
    try:
        yield {"database_url": url}
    finally:
        database.stop()


@contextmanager
def wrong_usage() -> Iterator[None]:
    """Turn Invalid into Misconfigured: the invalid value is an argument of the command."""
    from robyn_server.core.errors import Invalid, Misconfigured

    try:
        yield
    except Invalid as error:
        raise Misconfigured(error.detail) from None
