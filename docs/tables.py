"""Tables of the reference pages, generated from the code.

`make docs` writes them; `make lint` fails when they are stale.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from typer.main import get_command

from robyn_server.agent_sync.catalogue_db.contract import OPTIONAL, REQUIRED
from robyn_server.agent_sync.catalogue_db.fields import CLOCK, CLOCK_OF_VIEW, FIELDS, OF_VIEW, CatalogueField
from robyn_server.cli.commands import commands
from robyn_server.core import errors
from robyn_server.core.access.permissions import ANY_SCOPE, PERMISSIONS, ROLES, Operation, Permission, Role
from robyn_server.core.access.scopes import MEANINGS, Scope
from robyn_server.core.egress.addresses import NETWORKS, AddressClass
from robyn_server.core.egress.policy import OPERATOR, STRICTEST_LISTED, EgressLevel, EgressPolicy
from robyn_server.core.http_status import STATUSES
from robyn_server.metrics import every_metric
from robyn_server.metrics.instruments import Metric
from robyn_server.settings import Settings
from robyn_server.sockets.methods.table import METHODS
from robyn_server.web.edge.access.events import RunEvent, always
from robyn_server.web.edge.access.table import EXEMPT, OWN
from robyn_server.web.edge.access.table import TABLE as EVENTS
from robyn_server.web.http.routing import Route
from robyn_server.web.routes import all_routes
from robyn_server.web.routes.server.system import system_routes

_MANY_WORDS = 12
ROOT = Path(__file__).resolve().parent.parent

_RESOURCES = {
    "Assistants": r"/assistants",
    "Threads": r"/threads(?!/\{thread_id\}/runs)",
    "Runs": r"(/threads/\{thread_id\})?/runs(?!/crons)",
    "Crons": r"(/threads/\{thread_id\})?/runs/crons",
    "Store": r"/store",
    "Agent sync": r"/agents/sync",
    "Registry of instances": r"/agents/(?!sync)",
    "Connections to MCP servers": r"/connections",
    "API keys": r"/keys",
    "Audit trail": r"/audit",
    "Console": r"/console",
    "Server": r"/(ok|livez|info|openapi\.json|docs|docs/.*|doctor|me|overview|metrics(/history)?)?$",
    "Other protocols": r"/mcp|/a2a",
}
"""Each resource with the beginning of its paths, in the order of the page."""

_SETTING_GROUPS = (
    ("Database", "DATABASE_URL"),
    ("Web process", "AGENTHALL_HOST"),
    ("Proxy", "AGENTHALL_BEHIND_PROXY"),
    ("Sockets process", "AGENTHALL_SOCKETS_PORT"),
    ("Registry", "AGENTHALL_WATCH_KEEP"),
    ("Worker", "AGENTHALL_WORKER_PROCESSES"),
    ("Metrics", "AGENTHALL_METRICS_HOST"),
    ("Graphs, models and tools", "AGENTHALL_GRAPHS"),
    ("Agent sync", "AGENT_SYNC_SCOPE"),
    ("Credentials of MCP servers", "AGENTHALL_SECRET_KEY"),
    ("Identity", "AUTH_MODE"),
    ("Development without credentials", "AGENTHALL_DEV_TENANT"),
    ("Logs", "AGENTHALL_LOG_LEVEL"),
)
"""A group and its first variable, in the order of `Settings`."""

_ERRORS = {
    "BadRequest": "The request contradicts itself, or a header is missing. Correct the request.",
    "Invalid": "A field has the wrong type, shape or range. `field` names it.",
    "Unauthenticated": "Credentials are missing, malformed, expired or revoked.",
    "Forbidden": "The credentials are valid and do not allow this.",
    "NotFound": "No such thing exists, or the caller may not see it.",
    "Gone": "The registration or stream is over. Begin again.",
    "Conflict": "The thing is in another state, or exists already.",
    "Unservable": "The thing exists and cannot be used until somebody repairs it. A retry does not help.",
    "TooLarge": "The body or a queue is over its limit.",
    "Encoded": "The body is compressed. Send it as it is.",
    "TooMany": "The caller has reached a limit of its own. Retry after `Retry-After`.",
    "RateLimited": "The caller has used up its [requests](limits.md#rates) of this minute. Retry after `Retry-After`.",
    "NotOffered": "This server does not implement the endpoint yet. `Allow` lists the methods that the path has.",
    "FieldNotOffered": "This server does not implement `field`, or its value, yet.",
    "Refused": "A handler of the project refuses the request. It may choose another status from 400 to 599.",
    "Unavailable": "Something that the server depends on does not answer. Retry.",
    "CatalogueUnavailable": "The catalogue's database does not answer. Retry.",
    "Misconfigured": "A setting or the environment of the server is wrong. An operator must correct it.",
}
"""Meanings of the error types to a caller. A type that the code has and this table lacks fails `make lint`."""


class _NoHost:
    """System routes are made for the edge that serves them; their table needs none."""

    routes: tuple[Route, ...] = ()

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        return False, {}


def _routes() -> list[Route]:
    return [*system_routes(_NoHost()), *all_routes()]


def endpoints(*, built: bool) -> str:
    """Tables by resource of the routes that are offered, or of those that answer 405."""
    by_resource: dict[str, list[tuple[str, str]]] = {}
    for route in _routes():
        if route.not_built is not built:
            line = (f"`{route.method} {route.path}`", route.summary)
            by_resource.setdefault(_resource(route.path), []).append(line)
    names = [name for name in _RESOURCES if name in by_resource]
    return "\n\n".join(f"### {name}\n\n" + _table(("endpoint", "does"), by_resource[name]) for name in names)


def _resource(path: str) -> str:
    return next(name for name, beginning in _RESOURCES.items() if re.match(beginning, path))


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
    """A table for each group of settings."""
    first = {variable: name for name, variable in _SETTING_GROUPS}
    groups: list[tuple[str, list[tuple[str, str, str]]]] = []
    for field in Settings.model_fields.values():
        variable = str(field.validation_alias)
        if variable in first:
            groups.append((first[variable], []))
        groups[-1][1].append((f"`{variable}`", _default(field.default), (field.description or "").strip()))
    head = ("variable", "default", "meaning")
    return "\n\n".join(f"## {name}\n\n{_table(head, rows)}" for name, rows in groups)


def scopes() -> str:
    return _table(("scope", "allows"), [(f"`{scope.value}`", meaning) for scope, meaning in MEANINGS.items()])


def roles() -> str:
    return _table(("role", "who"), [(role.value, meaning) for role, meaning in ROLES.items()])


def permissions() -> str:
    """The permission of each operation: the answer to each role, the scope that a key with scopes needs, the rows."""
    head = ("operation", *(role.value for role in Role), "scope of a key", "rows")
    return _table(head, [_permission(operation, each) for operation, each in PERMISSIONS.items()])


def _permission(operation: Operation, permission: Permission) -> tuple[str, ...]:
    cells = ["yes" if role.includes(permission.role) else _refusal(role, permission) for role in Role]
    return (f"`{operation}`", *cells, _scopes(permission), permission.rows)


def _refusal(role: Role, permission: Permission) -> str:
    if role is Role.ANYONE:
        return "401"
    return "403" if permission.role is Role.ADMIN else "404"


def _scopes(permission: Permission) -> str:
    if permission.scopes == ANY_SCOPE:
        return "none"
    if not permission.scopes:
        return "none will do"
    return " or ".join(f"`{scope}`" for scope in Scope if scope in permission.scopes)


def operations() -> str:
    """The routes and the methods of the WebSocket of each operation."""
    named: dict[Operation, list[str]] = {operation: [] for operation in Operation}
    for route in _routes():
        if not route.not_built:
            named[route.operation].append(f"`{route.method} {route.path}`")
    for name, method in METHODS.items():
        named[method.operation].append(f"`{name}`")
    return _table(("operation", "routes and methods"), [(f"`{op}`", ", ".join(of)) for op, of in named.items() if of])


def exempt_routes() -> str:
    """The routes that handlers of a project are not asked about."""
    return _table(("routes", "credentials"), [(f"`/{name}`", reason) for name, reason in {**EXEMPT, **OWN}.items()])


def access_events() -> str:
    """The resource and the action of each route, with the members of the value that a handler may change."""
    rows = []
    for route, events in EVENTS.items():
        for event in events:
            changed = [f"`{name}`" for name in sorted(event.fields)]
            changed += ["`kwargs`"] if isinstance(event, RunEvent) else []
            condition = "" if event.when is always else " (if the query asks for it)"
            rows.append((f"`{route}`", f"`{event.resource}.{event.action}`{condition}", ", ".join(changed)))
    return _table(("route", "resource and action", "may be changed"), rows)


def view_columns() -> str:
    """The columns of a view of one's own."""
    fields = sorted((*OF_VIEW, CLOCK_OF_VIEW), key=lambda field: not field.required)
    rows = [(f"`{each.name}`", each.type or "", "yes" if each.required else "no", each.meaning) for each in fields]
    return _table(("column", "type", "required", "meaning"), rows)


def row_columns() -> str:
    """The columns of a row that a pool returns for an agent."""
    rows = [(f"`{each.name}`", each.type or "text", _in_a_row(each)) for each in FIELDS]
    rows.append(("`read_at`", "timestamp with time zone", "When the row was read, on the catalogue's clock."))
    return _table(("column", "type", "meaning"), rows)


def _in_a_row(field: CatalogueField) -> str:
    return field.meaning or "Null: the agent names no engine."


def table_columns() -> str:
    """The columns of the five tables with fixed names."""
    rows = [
        (f"`public.{table}`", _codes(columns), _codes((*OPTIONAL.get(table, ()), CLOCK)))
        for table, columns in REQUIRED.items()
    ]
    return _table(("table", "required columns", "optional columns"), rows)


def _codes(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def command_line() -> str:
    """A section for each command, with its options."""
    return "\n\n".join(_command(name, command) for name, command in _commands("agenthall", get_command(commands)))


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    for word, child in getattr(command, "commands", {}).items():
        if hasattr(child, "commands"):
            yield from _commands(f"{name} {word}", child)
        else:
            yield f"{name} {word}", child


def _command(name: str, command: Any) -> str:
    rows = [_parameter(each) for each in command.params]
    return f"### {name}\n\n{command.help}\n\n" + _table(("option", "variable", "default", "meaning"), rows)


def _parameter(parameter: Any) -> tuple[str, str, str, str]:
    is_option = parameter.param_type_name == "option"
    name = (
        ", ".join(f"`{word}`" for word in parameter.opts)
        if is_option
        else f"`{parameter.metavar or parameter.name.upper()}`"
    )
    variable = f"`{parameter.envvar}`" if parameter.envvar else ""
    default = "" if parameter.default in (None, False, "") else _default(parameter.default)
    return name, variable, default, parameter.help or ""


def error_catalogue() -> str:
    rows = []
    for kind in _subclasses(errors.AgenthallError):
        status = next(STATUSES[base] for base in kind.__mro__ if base in STATUSES)
        rows.append((str(status), f"`{kind.code}`", _ERRORS[kind.__name__]))
    return _table(("status", "code", "meaning"), sorted(rows))


def run_states() -> str:
    """The statuses that the migrations allow, as they are checked by the database."""
    sql = (ROOT / "migrations" / "0004_runs.sql").read_text(encoding="utf-8")
    match = re.search(r"constraint runs_status check \(status in \(([^)]*)\)\)", sql)
    names = re.findall(r"'(\w+)'", match[1]) if match else []
    ended = [name for name in names if name not in ("pending", "running")]
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> pending", "    pending --> running: claimed by a worker"]
    lines += ["    running --> pending: lease lapsed, worker drained or replaced"]
    lines += ["    pending --> interrupted: cancelled", "    pending --> [*]: rolled back"]
    lines += ["    running --> [*]: rolled back"]
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


def egress() -> str:
    """The classes of addresses, and the levels of the policy that allow each."""
    levels = list(EgressLevel)
    rows = [f"| {kind.name.lower().replace('_', '-')} | {_egress_row(kind, levels)} |" for kind in AddressClass]
    head = f"| class | {' | '.join(f'`{level}`' for level in levels)} | the allow list | the operator | networks |"
    return "\n".join([head, "|" + " --- |" * (len(levels) + 4), *rows])


def _egress_row(kind: AddressClass, levels: list[EgressLevel]) -> str:
    example = _FIRST_ADDRESS[kind]
    policies = [EgressPolicy(level) for level in levels]
    allowed = [policy.allows(example, 443) for policy in policies]
    allowed += [kind <= STRICTEST_LISTED, OPERATOR.allows(example, 443)]
    networks = "everything else" if kind is AddressClass.PUBLIC else ", ".join(f"`{net}`" for net in NETWORKS[kind])
    if kind is AddressClass.RESERVED:
        networks += ", and IPv6 outside `2000::/3` that is in no other row"
    return " | ".join([*("yes" if each else "no" for each in allowed), networks])


_FIRST_ADDRESS = {
    kind: "8.8.8.8" if kind is AddressClass.PUBLIC else NETWORKS[kind][0].split("/")[0] for kind in NETWORKS
}
