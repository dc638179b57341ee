"""Instances and events as people and programs read them."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDE = 240
"""Columns where there is no terminal to ask: nothing that is read by programs should be folded."""

_COLOURS = {
    "active": "green",
    "healthy": "green",
    "draining": "yellow",
    "degraded": "yellow",
    "starting": "cyan",
    "unhealthy": "red",
    "stale": "red",
    "inactive": "dim",
}
_EVENT = "{:<8}  {:<12}  {:<20}  {:<28}  {:<9}  {:<9}  {:>5}  {}"
Instance = dict[str, Any]


def as_json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def as_line(value: Any) -> str:
    return orjson.dumps(value).decode()


def instances_table(found: list[Instance]) -> str:
    if not found:
        return "no instances\n"
    table = _table(
        "agent", "instance", "status", "health", "load", "version", "zone", "capabilities", "seen", "registration"
    )
    for each in sorted(found, key=lambda one: (one["agent_id"], one["instance_id"])):
        table.add_row(
            *map(_text, (each["agent_id"], each["instance_id"], each["registration_status"], each["health_status"])),
            *map(_text, (each["workload"], each["version"], each["zone"], ", ".join(each["capabilities"]))),
            _text(_ago(each["last_health_check"])),
            _text(each["registration_id"]),
        )
    return _printed(table)


def one_table(instance: Instance) -> str:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in instance.items():
        table.add_row(name, _text(_value(value)))
    return _printed(table)


def instance_line(instance: Instance) -> str:
    status = f"{instance['registration_status']}, {instance['health_status']}"
    return _plain(
        f"{instance['agent_id']} {instance['instance_id']} is {status} (epoch {instance['epoch']}, registration {instance['registration_id']})"
    )


def event_head() -> str:
    return _EVENT.format("TIME", "EVENT", "AGENT", "INSTANCE", "STATUS", "HEALTH", "EPOCH", "REGISTRATION")


def event_line(event: dict[str, Any]) -> str:
    instance = event["instance"]
    cells = (
        _time(event["at"]),
        event["kind"],
        event["agent_id"],
        instance.get("instance_id"),
        instance.get("registration_status"),
        instance.get("health_status"),
        instance.get("epoch"),
        event["registration_id"],
    )
    return _EVENT.format(*(_plain(_value(cell)) for cell in cells)).rstrip()


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in {"registration", "status", "health"})
    return table


def _printed(table: Table) -> str:
    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
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
    """What others have written about themselves must not steer a terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _time(text: str | None) -> str:
    return "now" if text is None else datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S")


def _ago(text: str | None) -> str | None:
    if text is None:
        return None
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds())
    return f"{max(seconds, 0)} s ago" if seconds < 120 else f"{seconds // 60} min ago"  # noqa: PLR2004 - two minutes
