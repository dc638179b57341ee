"""`agenthall audit`: who changed which row, over the HTTP API of a running server."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robyn_server.cli.options import Out, Output

from .connection import Limit, note

if TYPE_CHECKING:
    from robyn_server.cli.http.api import ApiClient

_FOLLOW_SECONDS = 2.0
_LATE = timedelta(minutes=1)
"""An entry is seen when its transaction ends, which may be after entries that are newer."""

Entry = dict[str, Any]


def list_audit(
    api: ApiClient,
    actor: Annotated[str | None, typer.Option(help="Entries of this identity, process or database role.")] = None,
    action: Annotated[str | None, typer.Option(help="Entries of this action, such as assistant.update.")] = None,
    resource_type: Annotated[
        str | None, typer.Option("--type", help="Entries of this type of resource, such as assistant.")
    ] = None,
    resource_id: Annotated[str | None, typer.Option("--id", help="Entries of the resource with this id.")] = None,
    since: Annotated[str | None, typer.Option(help="Entries from this time on, such as 2026-01-31T12:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Entries before this time.")] = None,
    limit: Limit = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show new entries until Ctrl-C.")] = False,
    output: Out = Output.TABLE,
) -> None:
    """List who changed which row, newest first. For administrators, and keys with the scope `audit`."""
    where = {
        "actor": actor,
        "action": action,
        "resource_type": resource_type,
        "resource_id": resource_id,
        "since": since,
        "until": until,
    }
    if follow:
        _follow(api, where, output)
    else:
        _print_page(list(api.audit(where, limit + 1)), limit, output)


def _print_page(found: list[Entry], limit: int, output: Output) -> None:
    from .tables import Column, as_json, resource_table

    shown = found[:limit]
    if output is Output.JSON:
        typer.echo(as_json(shown))
    else:
        columns = (
            Column("time", lambda each: each["at"][:19].replace("T", " ")),
            Column("actor", lambda each: each["actor"], is_cut=True),
            Column("action", lambda each: each["action"]),
            Column("resource", lambda each: each["resource_id"]),
            Column("fields", lambda each: ", ".join(each["changed_fields"]), 110, is_cut=True),
            Column("organization", lambda each: each["organization_id"], 160),
        )
        typer.echo(resource_table(columns, shown, "no entries"), nl=False)
    if len(found) > limit:
        note(f"there are more; --limit {limit} ends the list")


def _follow(api: ApiClient, where: Mapping[str, Any], output: Output) -> None:
    import orjson

    from robyn_server.cli.agents.commands import until_interrupted

    with until_interrupted():
        for entry in _new_entries(api, where):
            typer.echo(orjson.dumps(entry).decode() if output is Output.JSON else _line(entry))


def _new_entries(api: ApiClient, where: Mapping[str, Any]) -> Iterator[Entry]:
    """Yield the latest entries, and then each new one, the oldest first."""
    seen: set[int] = set()
    newest: datetime | None = None
    while True:
        since = where["since"] if newest is None else (newest - _LATE).isoformat()
        found = list(api.audit({**where, "since": since}, 10 if newest is None else None))
        for entry in reversed(found):
            if entry["audit_id"] not in seen:
                yield entry
        if found:
            newest = max(datetime.fromisoformat(entry["at"]) for entry in found)
            seen = {entry["audit_id"] for entry in found}
        time.sleep(_FOLLOW_SECONDS)


def _line(entry: Entry) -> str:
    from robyn_server.terminal import printable

    fields = f" ({', '.join(entry['changed_fields'])})" if entry["changed_fields"] else ""
    text = f"{entry['at'][:19]}  {entry['actor']}  {entry['action']}  {entry['resource_id']}{fields}"
    return printable(text)
