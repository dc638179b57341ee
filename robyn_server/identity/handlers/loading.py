"""Load the `Auth` object of a project and check it. Everything that is not honoured is refused by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from robyn_server.core.errors import Misconfigured
from robyn_server.graphs.loading.imports import import_object

_SETTING = "AGENTHALL_AUTH"
_ANY = "*"
_CRUD = frozenset({"create", "read", "update", "delete", "search"})
ACTIONS: Mapping[str, frozenset[str]] = {
    "assistants": _CRUD,
    "threads": _CRUD | {"create_run"},
    "store": frozenset({"put", "get", "search", "list_namespaces", "delete"}),
}
"""The actions that are authorized, by their resource."""

_ALL_ACTIONS = frozenset[str]().union(*ACTIONS.values())
PARAMETERS = frozenset(
    {"request", "scope", "body", "path", "method", "path_params", "query_params", "headers", "authorization"}
)
"""The parameters that an authenticate handler may have."""

Handler = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Handlers:
    """`parameters`: those of `authenticate`. `rules`: by resource and action, in which `*` stands for all."""

    authenticate: Handler
    parameters: frozenset[str]
    rules: Mapping[tuple[str, str], Handler]

    def find(self, resource: str, action: str) -> Handler | None:
        """The most specific handler of an action, in LangGraph's order."""
        keys = ((resource, action), (resource, _ANY), (_ANY, action), (_ANY, _ANY))
        return next((self.rules[key] for key in keys if key in self.rules), None)

    @property
    def names(self) -> list[str]:
        """The rules as a person writes them, such as `threads.create`."""
        return sorted(f"{resource}.{action}" for resource, action in self.rules)


def load_handlers(path: str) -> Handlers:
    """Load the object that `path` names: `module:name`, or `/path/to/file.py:name`. Raises Misconfigured."""
    auth = _import(path)
    authenticate = getattr(auth, "_authenticate_handler", None)
    if not hasattr(auth, "_handlers") or not hasattr(auth, "_global_handlers"):
        raise _wrong(path, f"it is of type {type(auth).__name__}, not a langgraph_sdk.Auth object")
    if authenticate is None:
        raise _wrong(path, "it has no handler @auth.authenticate, so nobody could be let in")
    rules = dict(_rules(auth))
    problems = [problem for key in rules if (problem := _problem(*key))]
    if problems:
        raise _wrong(path, "; ".join(problems))
    return Handlers(authenticate, _parameters(path, authenticate), rules)


def _rules(auth: Any) -> Iterator[tuple[tuple[str, str], Handler]]:
    # the SDK keeps these names for servers
    for (resource, action), handlers in auth._handlers.items():  # noqa: SLF001
        yield (resource, action), handlers[-1]
    for handler in auth._global_handlers[-1:]:  # noqa: SLF001
        yield (_ANY, _ANY), handler


def _problem(resource: str, action: str) -> str | None:
    if resource not in ACTIONS and resource != _ANY:
        offered = ", ".join(sorted(ACTIONS))
        return f"@auth.on.{resource}: this server does not offer {resource!r}, so its handler would never be asked. It authorizes {offered}"
    known = _ALL_ACTIONS if resource == _ANY else ACTIONS[resource]
    if action not in known and action != _ANY:
        return f"@auth.on.{resource}.{action}: {action!r} is no action. There are {', '.join(sorted(known))}"
    return None


def _parameters(path: str, authenticate: Handler) -> frozenset[str]:
    given = inspect.signature(authenticate).parameters.values()
    named = {each.name for each in given if each.kind not in {each.VAR_KEYWORD, each.VAR_POSITIONAL}}
    unknown = sorted(each.name for each in given if each.name in named - PARAMETERS and each.default is each.empty)
    if unknown:
        offered = ", ".join(sorted(PARAMETERS))
        raise _wrong(path, f"@auth.authenticate has the parameter {unknown[0]!r}. There are {offered}")
    return frozenset(named & PARAMETERS)


def _import(path: str) -> Any:
    where, _, name = path.rpartition(":")
    if not where or not name:
        raise _wrong(path, "write `module:name`, or `/path/to/file.py:name`")
    try:
        return import_object(path, "agenthall_project_auth")
    except (Exception, SystemExit) as error:  # importing executes the project's code
        reason = str(error) if isinstance(error, ImportError | OSError) else f"{type(error).__name__}: {error}"
        raise _wrong(path, reason) from error


def _wrong(path: str, reason: str) -> Misconfigured:
    return Misconfigured(f"{_SETTING}: the handlers at '{path}' cannot be used: {reason}", field=_SETTING)
