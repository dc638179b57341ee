"""`agenthall storage`: where the bytes of the database are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robyn_server.cli.database import database_setting
from robyn_server.cli.options import DataDir, Out, Output
from robyn_server.cli.process import run_process

from .byte_sizes import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from robyn_server.storage.operations.disk_usage import LargestThreads, TableUsage


def storage(
    threads: Annotated[int, typer.Option(min=1, max=100, help="Number of threads to show.")] = 10,
    output: Out = Output.TABLE,
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """Show where the bytes of the database are: its tables, and the largest threads.

    It reads a bounded number of pages. The largest threads are found in a sample, if there are more.
    """
    with database_setting(data_dir) as given:
        tables, largest = run_process("operator.disk_usage", threads, **given)
    typer.echo(_as_json(tables, largest) if output is Output.JSON else _as_tables(tables, largest), nl=False)


def _as_tables(tables: Sequence[TableUsage], largest: LargestThreads) -> str:
    from robyn_server.cli.resources.tables import Column, ago, resource_table

    by_table = (
        Column("table", lambda each: each["name"]),
        Column("rows (estimate)", lambda each: str(each["rows"])),
        Column("values", lambda each: format_bytes(each["table_bytes"])),
        Column("indexes", lambda each: format_bytes(each["index_bytes"])),
        Column("all", lambda each: format_bytes(each["total_bytes"])),
    )
    by_thread = (
        Column("thread", lambda each: each["thread_id"]),
        Column("all", lambda each: format_bytes(each["total_bytes"])),
        Column("checkpoints", lambda each: _part(each, "checkpoint")),
        Column("blobs", lambda each: _part(each, "blob")),
        Column("writes", lambda each: _part(each, "write")),
        Column("events", lambda each: format_bytes(each["event_bytes"])),
        Column("updated", lambda each: ago(each["updated_at"] and each["updated_at"].isoformat()), 130),
        Column("owner", lambda each: each["owner_id"], 150, is_cut=True),
    )
    found = "of a sample of the pages: a larger one may be missing" if largest.is_sampled else "all were measured"
    used = [_fields(each) for each in tables if each.total_bytes]
    threads = [_fields(each) for each in largest.threads]
    return (
        f"{resource_table(by_table, used, 'no tables')}\nThe largest threads ({found}):\n"
        f"{resource_table(by_thread, threads, 'no thread has states')}"
    )


def _part(thread: dict[str, Any], name: str) -> str:
    return f"{thread[f'{name}s']}: {format_bytes(thread[f'{name}_bytes'])}"


def _fields(usage: Any) -> dict[str, Any]:
    return {**asdict(usage), "total_bytes": usage.total_bytes}


def _as_json(tables: Sequence[TableUsage], largest: LargestThreads) -> str:
    from robyn_server.cli.resources.tables import as_json

    return as_json(
        {
            "tables": [_fields(each) for each in tables],
            "threads": [_fields(each) for each in largest.threads],
            "threads_are_sampled": largest.is_sampled,
        }
    )
