"""`agenthall backup` and `agenthall restore`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from robyn_server.cli.database import database_setting, given_database
from robyn_server.cli.options import DataDir
from robyn_server.cli.process import run_process

from .byte_sizes import format_bytes


def backup(
    path: Annotated[
        str,
        typer.Argument(metavar="FILE|DIR", help="File to write. A directory (DIR/) is written by several connections."),
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Overwrite an earlier backup.")] = False,
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """Save all state of the server in an archive of pg_dump, while it runs or not.

    Of your own database, the schemas agenthall, langgraph and mcp are saved. The embedded database is saved as a whole.
    """
    from robyn_server.backup.dump import Target
    from robyn_server.cli.catalogue.sync import progress_bar
    from robyn_server.core.errors import Misconfigured
    from robyn_server.supervisor.postgres.data_directory import DataDirectory

    _exit_at_sigterm()
    target = Target.parse(path, may_overwrite=overwrite)
    is_embedded = given_database() is None
    if is_embedded and not DataDirectory(data_dir).has_cluster:
        raise Misconfigured(f"there is no database in {data_dir}; set --data-dir, or DATABASE_URL")
    target.check()
    with database_setting(data_dir) as given, progress_bar("tables") as bar:
        report = run_process("operator.backup", target, is_embedded, bar, **given)
    if report.is_newer:
        typer.echo(
            "agenthall: warning: the database is newer than this build, which could not restore the backup", err=True
        )
    typer.echo(
        f"{target.path}: {report.tables} tables, {_size(target.path)}; migration {report.migration}, PostgreSQL {report.postgres}"
    )


def restore(
    path: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="Backup to restore.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop what the database has of the server before.")
    ] = False,
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """Restore a backup into an empty database, completely or not at all, and migrate it to this version."""
    from robyn_server.cli.catalogue.sync import progress_bar
    from robyn_server.core.errors import Misconfigured

    _exit_at_sigterm()
    if not path.expanduser().exists():  # before a database is created for it
        raise Misconfigured(f"there is no {path}")
    is_embedded = given_database() is None
    with database_setting(data_dir) as given, progress_bar("objects") as bar:
        report = run_process("operator.restore", path.expanduser().absolute(), is_embedded, replace, bar, **given)
    counted = ", ".join(f"{number} {name}" for name, number in report.rows.items())
    typer.echo(f"restored {counted}; migration {report.migration}")
    for name in report.applied:
        typer.echo(f"applied {name}")
    if report.left_out:
        typer.echo(f"left out, because they are not the server's: schemas {', '.join(report.left_out)}")
    for statement in report.settings:
        typer.echo(f"a superuser must still run: {statement};")


def _exit_at_sigterm() -> None:
    """Exit as Ctrl-C does, so that nothing unfinished is left behind."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def _size(path: Path) -> str:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return format_bytes(sum(each.stat().st_size for each in files))
