"""`agenthall assistants`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from robyn_server.cli.options import Out, Output
from robyn_server.cli.server_command import server_command

from .connection import Limit, connect, note

if TYPE_CHECKING:
    from robyn_server.cli.http.api import ApiClient

assistants = typer.Typer(help="Assistants: agents and graphs that answer.", no_args_is_help=True)


@server_command(assistants, "list", connect)
def list_assistants(
    api: ApiClient,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="Assistants whose name contains this.")] = None,
    graph: Annotated[str | None, typer.Option(metavar="GRAPH", help="Assistants of this graph.")] = None,
    limit: Limit = 100,
    output: Out = Output.TABLE,
) -> None:
    """List assistants by name."""
    from .tables import Column, ago, as_json, resource_table

    where = {"name": name, "graph_id": graph, "sort_by": "name", "sort_order": "asc"}
    found = list(api.search("assistants", where, limit + 1))
    shown = found[:limit]
    if output is Output.JSON:
        typer.echo(as_json(shown))
    else:
        columns = (
            Column("name", lambda each: each["name"], is_cut=True),
            Column("assistant", lambda each: each["assistant_id"]),
            Column("graph", lambda each: each["graph_id"], 70, is_cut=True),
            Column("from", _origin, 80),
            Column("model", _model, 110, is_cut=True),
            Column("version", lambda each: each["version"], 100),
            Column("updated", lambda each: ago(each["updated_at"]), 100),
        )
        typer.echo(resource_table(columns, shown, "no assistants"), nl=False)
    if len(found) > limit:
        note(f"there are more; --limit {limit} ends the list")


def _origin(assistant: dict[str, Any]) -> str:
    metadata = assistant.get("metadata") or {}
    if metadata.get("supabase_agent_id"):
        return "catalogue"
    return "graph" if metadata.get("created_by") == "system" else "user"


def _model(assistant: dict[str, Any]) -> Any:
    return ((assistant.get("config") or {}).get("configurable") or {}).get("model_name")
