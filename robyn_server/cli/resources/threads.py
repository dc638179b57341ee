"""`agenthall threads`"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from robyn_server.cli.options import Out, Output
from robyn_server.cli.server_command import server_command

from .connection import Limit, agent_names, connect, note

if TYPE_CHECKING:
    from robyn_server.cli.http.api import ApiClient

threads = typer.Typer(help="Threads: conversations and their state.", no_args_is_help=True)


class ThreadStatus(StrEnum):
    """As in `core`, which is not imported here."""

    IDLE = "idle"
    BUSY = "busy"
    INTERRUPTED = "interrupted"
    ERROR = "error"


@server_command(threads, "list", connect)
def list_threads(
    api: ApiClient,
    status: Annotated[ThreadStatus | None, typer.Option(help="Threads with this status.")] = None,
    limit: Limit = 20,
    output: Out = Output.TABLE,
) -> None:
    """List threads, those that changed last first."""
    from .tables import Column, ago, as_json, resource_table

    where = {"status": status and status.value, "sort_by": "updated_at", "sort_order": "desc"}
    fields = ["thread_id", "status", "metadata", "created_at", "updated_at"]
    found = list(api.search("threads", {**where, "select": fields}, limit + 1))
    shown = found[:limit]
    if output is Output.JSON:
        typer.echo(as_json(shown))
    else:
        names = agent_names(api, [each["metadata"].get("assistant_id") for each in shown])
        columns = (
            Column("thread", lambda each: each["thread_id"]),
            Column("status", lambda each: each["status"]),
            Column("agent", lambda each: names[each["metadata"].get("assistant_id")], is_cut=True),
            Column("updated", lambda each: ago(each["updated_at"]), 70),
            Column("created", lambda each: ago(each["created_at"]), 90),
        )
        typer.echo(resource_table(columns, shown, "no threads"), nl=False)
    if len(found) > limit:
        note(f"there are more; --limit {limit} ends the list")


@server_command(threads, "show", connect)
def show_thread(
    api: ApiClient,
    thread_id: Annotated[str, typer.Argument(metavar="ID", help="The thread's id.")],
    output: Out = Output.TABLE,
) -> None:
    """Show a thread and its conversation."""
    from .tables import as_json, fields_table
    from .transcript import transcript

    thread = api.thread(thread_id)
    if output is Output.JSON:
        typer.echo(as_json(thread))
        return
    metadata = dict(thread.get("metadata") or {})
    assistant_id = metadata.pop("assistant_id", None)
    fields = (
        ("thread", thread["thread_id"]),
        ("status", thread["status"]),
        ("agent", agent_names(api, [assistant_id])[assistant_id]),
        ("created", thread["created_at"]),
        ("updated", thread["updated_at"]),
        ("metadata", metadata),
        ("error", thread.get("error")),
        ("asks", [each["value"] for task in (thread.get("interrupts") or {}).values() for each in task]),
    )
    typer.echo(fields_table(fields), nl=False)
    if lines := transcript(thread.get("values")):
        typer.echo("\n" + lines, nl=False)
