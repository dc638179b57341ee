"""Instances and events as people and programs read them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .instances_table import Instance
from .instances_table import instances_table as fitted

_WIDE = 240
"""Columns where there is no terminal to ask: what is read by programs should be whole."""

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


def as_json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def as_line(value: Any) -> str:
    return orjson.dumps(value).decode()


def instances_table(found: list[Instance], width: int | None = None) -> str:
    """`width`: in columns; None: the terminal's."""
    if not found:
        return "no instances\n"
    is_for_people = width is not None or sys.stdout.isatty()
    return _printed(lambda columns: fitted(found, columns, _text, whole_ids=not is_for_people), width)


def one_table(instance: Instance) -> str:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in instance.items():
        table.add_row(name, _text(_value(value)))
    return _printed(lambda _: table)


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


def _printed(table: Callable[[int], Table], width: int | None = None) -> str:
    """`table` for so many columns."""
    console = Console(width=width if width is not None or sys.stdout.isatty() else _WIDE, highlight=False)
    with console.capture() as captured:
        console.print(table(console.width))
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
