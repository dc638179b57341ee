"""Text and JSON of instances and events."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from robyn_server.cli.options import Output
from robyn_server.terminal import styled

from .instances_table import Instance
from .instances_table import instances_table as fitted

_UNLIMITED = 10_000
_WIDE = 240
"""Columns without a terminal: programs should get whole values."""

_COLOURS = {
    "active": "green",
    "healthy": "green",
    "draining": "yellow",
    "cordoned": "yellow",
    "degraded": "yellow",
    "starting": "cyan",
    "unhealthy": "red",
    "stale": "red",
    "unknown": "yellow",
    "inactive": "dim",
}
_EVENT_COLOURS = {
    "registered": "green",
    "reconnected": "green",
    "revived": "green",
    "updated": "cyan",
    "health": "cyan",
    "draining": "yellow",
    "cordoned": "yellow",
    "uncordoned": "green",
    "disconnected": "bold yellow",
    "stale": "bold red",
    "inactive": "dim",
    "deregistered": "dim",
    "deleted": "dim",
}
_EVENT = ("<8", "<12", "<20", "<28", "<9", "<9", ">5", "")
_JOB = ("<8", "<10", "<20", "<28", ">7", ">7", "")
"""Alignment and width of each column."""
_JOB_COLOURS = {
    "queued": "yellow",
    "offered": "cyan",
    "running": "cyan",
    "succeeded": "green",
    "failed": "bold red",
    "expired": "bold red",
    "cancelled": "dim",
}


def print_one(found: Instance, output: Output) -> None:
    print_shown(as_json(found) if output is Output.JSON else one_table(found), output)


def print_described(found: Instance, history: Mapping[str, Any], output: Output) -> None:
    """Print an instance with its history."""
    if output is Output.JSON:
        print_shown(as_json({**found, "history": history}), output)
        return
    rows = [{**each, "detail": _detail(each["detail"])} for each in history["events"]]
    table = rows_table(rows, ("at", "kind", "epoch", "detail"))
    shown = {
        **found,
        "circuit breaker": _detail(history["breaker"] or {}),
        "health check": _detail(history["health_check"] or {}),
        "ended jobs": _detail(history["jobs"]),
    }
    print_shown(f"{one_table(shown)}\n{table}", output)


def _detail(members: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in members.items())


def print_rows(found: Sequence[Mapping[str, Any]], columns: Sequence[str], output: Output) -> None:
    print_shown(as_json(found) if output is Output.JSON else rows_table(found, columns), output)


def print_shown(text: str, output: Output) -> None:
    """Print JSON, or a table that ends its last line itself."""
    typer.echo(text, nl=output is Output.JSON)


def as_json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def as_line(value: Any) -> str:
    return orjson.dumps(value).decode()


def instances_table(found: list[Instance], width: int | None = None, *, wide: bool = False) -> str:
    """Render a table for a terminal of `width` columns; None: the terminal of this process.

    Without a terminal, it is `wide`.
    """
    if not found:
        return "no instances\n"
    console = _console(_UNLIMITED if wide or (width is None and not sys.stdout.isatty()) else width)
    return _printed(console, fitted(found, console, _text))


def rows_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Render these members of each row."""
    if not rows:
        return "none\n"
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_text(row[name]) for name in columns))
    return _printed(_console(), table)


def one_table(instance: Instance) -> str:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in instance.items():
        table.add_row(name, _text(_value(value)))
    return _printed(_console(), table)


def instance_line(instance: Instance) -> str:
    status = f"{instance['registration_status']}, {instance['health_status']}"
    return _plain(
        f"{instance['agent_id']} {instance['instance_id']} is {status} (epoch {instance['epoch']}, registration {instance['registration_id']})"
    )


def event_head() -> str:
    return _row(("TIME", "EVENT", "AGENT", "INSTANCE", "STATUS", "HEALTH", "EPOCH", "REGISTRATION"), ("bold",) * 8)


def event_line(event: dict[str, Any]) -> str:
    instance = event["instance"]
    cells = (
        _time(event["at"]),
        event["kind"],
        event["agent_id"],
        instance.get("instance_id"),
        status := instance.get("registration_status"),
        health := _health(event),
        instance.get("epoch"),
        event["registration_id"],
    )
    styles = ("dim", _EVENT_COLOURS.get(event["kind"]), "", "", _COLOURS.get(status), _COLOURS.get(health), "", "dim")
    return _row(cells, styles)


def job_head() -> str:
    return _row(("TIME", "STATE", "AGENT", "INSTANCE", "ATTEMPT", "EVENTS", "JOB"), ("bold",) * 7, _JOB)


def job_line(job: Mapping[str, Any]) -> str:
    at = job["ended_at"] or job["accepted_at"] or job["created_at"]
    cells = (
        _time(at),
        job["state"],
        job["agent_id"],
        job["instance_id"],
        job["attempt"],
        job["events"],
        job["job_id"],
    )
    return _row(cells, ("dim", _JOB_COLOURS.get(job["state"]), "", "", "", "", "dim"), _JOB)


def _health(event: Mapping[str, Any]) -> Any:
    """The health after an event.

    When a connection drops, the last one that the instance reported says nothing about now.
    """
    return "unknown" if event["kind"] == "disconnected" else event["instance"].get("health_status")


def _row(cells: Sequence[Any], styles: Sequence[str | None], widths: Sequence[str] = _EVENT) -> str:
    """Return a line of cells. Styles have no width, so they are added to the aligned text."""
    texts = [f"{_plain(_value(cell)):{width}}" for cell, width in zip(cells, widths, strict=True)]
    texts[-1] = texts[-1].rstrip()
    return "  ".join(styled(text, style or "") for text, style in zip(texts, styles, strict=True))


def _console(width: int | None = None) -> Console:
    return Console(width=width if width is not None or sys.stdout.isatty() else _WIDE, highlight=False)


def _printed(console: Console, table: Table) -> str:
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def _text(value: Any) -> Text:
    text = _plain(_value(value))
    return Text(text, style=_COLOURS.get(text, ""))


def _value(value: Any) -> str:
    if value is None or value in ([], ""):
        return "–"
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _plain(text: str) -> str:
    """Replace control characters: fields of instances must not control a terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _time(text: str | None) -> str:
    return "now" if text is None else datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S")
