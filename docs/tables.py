"""Tables for the documentation, made from the code. `make docs` writes them; `make check` fails when they are stale."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any

from robyn_server.core import errors
from robyn_server.metrics import every_metric
from robyn_server.metrics.instruments import Metric
from robyn_server.settings import Settings
from robyn_server.web.problems import TABLE
from robyn_server.web.routes import all_routes
from robyn_server.web.routes.system import system_routes
from robyn_server.web.routing import Route

_MANY_WORDS = 12
ROOT = Path(__file__).resolve().parent.parent


class _NoHost:
    """System routes are made for the edge that serves them; their table needs none."""

    routes: tuple[Route, ...] = ()

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        return False, {}


def _routes() -> list[Route]:
    return [*system_routes(_NoHost()), *all_routes()]


def endpoints(*, built: bool) -> str:
    """A table of what is offered, or of what answers 501."""
    rows = [(f"`{r.method} {r.path}`", r.summary) for r in _routes() if r.unbuilt is not built]
    return _table(("endpoint", "what it does"), rows)


def metrics() -> str:
    rows = [
        (f"`{metric.name}{'_total' if metric.kind == 'counter' else ''}`", metric.kind, _labels(metric), metric.meaning)
        for metric in every_metric()
    ]
    return _table(("metric", "kind", "labels", "meaning"), rows)


def _labels(metric: Metric) -> str:
    return "; ".join(f"`{label}`: {_words(list(words))}" for label, words in metric.labels.items())


def _words(words: list[str]) -> str:
    """A long vocabulary is one that other tables have: statuses, paths of routes."""
    return ", ".join(words) if len(words) <= _MANY_WORDS else f"{words[0]} … {words[-1]}"


def settings() -> str:
    rows = [
        (f"`{field.validation_alias}`", _default(field.default), (field.description or "").strip())
        for field in Settings.model_fields.values()
    ]
    return _table(("variable", "default", "meaning"), rows)


def error_catalogue() -> str:
    rows = []
    for kind in _subclasses(errors.AgenthallError):
        status = next(TABLE[base].status for base in kind.__mro__ if base in TABLE)
        rows.append((f"`{kind.code}`", str(status), kind.__name__))
    return _table(("code", "status", "type"), rows)


def run_states() -> str:
    """The statuses that the migrations allow, as they are checked by the database."""
    sql = (ROOT / "migrations" / "0004_runs.sql").read_text(encoding="utf-8")
    match = re.search(r"constraint runs_status check \(status in \(([^)]*)\)\)", sql)
    names = re.findall(r"'(\w+)'", match[1]) if match else []
    ended = [name for name in names if name not in ("pending", "running")]
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> pending", "    pending --> running: claimed by a worker"]
    lines += ["    running --> pending: lease lapsed, worker drained or replaced"]
    lines += ["    pending --> interrupted: cancelled"]
    lines += [f"    running --> {name}" for name in ended] + [f"    {name} --> [*]" for name in ended] + ["```"]
    return "\n".join(lines)


def _subclasses(kind: type[errors.AgenthallError]) -> list[type[errors.AgenthallError]]:
    found = []
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            found += [child, *_subclasses(child)]
    return found


def _default(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Enum):
        value = value.value
    return f"`{value}`"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    names = list(head)
    return "\n".join([line(names), line("---" for _ in names), *(line(row) for row in rows)])
