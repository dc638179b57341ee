"""A client for assistants, threads and runs of a running server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from robyn_server.core.errors import Conflict, Invalid, NotFound

from .pages import pages_by_cursor, pages_by_offset
from .server import ServerClient

PAGE = 1000
"""The server's largest page."""

AUDIT_PAGE = 100
"""Its largest page of audit entries."""

_FEW = 5
"""Names that an error lists."""

Assistant = dict[str, Any]
Thread = dict[str, Any]
Run = dict[str, Any]


class ApiClient(ServerClient):
    """Methods raise Unavailable if the server does not answer, or the error that it answers (`core/http_status.py`)."""

    def search(self, kind: str, where: Mapping[str, Any], limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield matching `assistants` or `threads`, page by page, at most `limit`.

        Filters that are None are not sent.
        """
        body = {name: value for name, value in where.items() if value is not None}

        def page(size: int, offset: int) -> list[dict[str, Any]]:
            return list(self.request("POST", f"/{kind}/search", json={**body, "limit": size, "offset": offset}).json())

        return pages_by_offset(page, limit, PAGE)

    def find_assistant(self, which: str) -> Assistant:
        """Return the assistant with this id, of the graph with this name, of the agent with this agent_id, or the only
        one with this name.

        Raises NotFound, with similar names, and Conflict if there are several.
        """
        if is_uuid(which):
            return self._get("assistant", which, _path("assistants", which))
        similar = list(self.search("assistants", {"name": which, "sort_by": "name", "sort_order": "asc"}))
        if default := [one for one in similar if _is_default_of(one, which)]:
            return default[0]
        if (agent := self._find_agent(which)) is not None:
            return agent
        exact = [one for one in similar if one["name"] == which]
        found = exact or [one for one in similar if str(one["name"]).casefold() == which.casefold()]
        if len(found) > 1:
            ids = ", ".join(str(one["assistant_id"]) for one in found[:_FEW])
            raise Conflict(f"{len(found)} assistants are called {which!r}; name one by its id: {ids}")
        if not found:
            raise NotFound(f"no assistant and no graph is called {which!r}; {_similar(similar)}")
        return found[0]

    def _find_agent(self, agent_id: str) -> Assistant | None:
        try:
            return dict(self.request("GET", _path("assistants", agent_id)).json())
        except (Invalid, NotFound):
            return None

    def thread(self, thread_id: str) -> Thread:
        return self._get("thread", thread_id, _path("threads", thread_id))

    def runs(self, thread_id: str, status: str | None = None, limit: int | None = None) -> Iterator[Run]:
        """Yield runs of the thread, newest first, page by page, at most `limit`."""
        where = {} if status is None else {"status": status}

        def page(size: int, offset: int) -> list[Run]:
            params = {**where, "limit": str(size), "offset": str(offset)}
            return list(self.request("GET", _path("threads", thread_id, "runs"), params=params).json())

        return pages_by_offset(page, limit, PAGE)

    def run(self, thread_id: str, run_id: str) -> Run:
        return self._get("run", run_id, _path("threads", thread_id, "runs", run_id))

    def start_run(self, thread_id: str, body: Mapping[str, Any]) -> AbstractContextManager[httpx.Response]:
        """Start a run, and yield the response with its stream."""
        return self.stream("POST", _path("threads", thread_id, "runs", "stream"), json=dict(body))

    def join_run(
        self, thread_id: str, run_id: str, last_event_id: str | None
    ) -> AbstractContextManager[httpx.Response]:
        """Join a run's stream after an event, or from its beginning."""
        headers = {"last-event-id": last_event_id or "1-0"}
        return self.stream("GET", _path("threads", thread_id, "runs", run_id, "stream"), headers=headers)

    def cancel_run(self, thread_id: str, run_id: str) -> None:
        """Cancel a run, and wait for its end. Raises NotFound if it has ended."""
        path = _path("threads", thread_id, "runs", run_id, "cancel")
        with self.stream("POST", path, params={"wait": "1"}) as answer:
            answer.read()

    def audit(self, where: Mapping[str, Any], limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield matching entries of the audit trail, newest first, at most `limit`. Filters of None are not sent."""
        given = {name: value for name, value in where.items() if value is not None}

        def page(size: int, cursor: str | None) -> Mapping[str, Any]:
            params = {**given, "limit": str(size), **({} if cursor is None else {"cursor": cursor})}
            return dict(self.request("GET", "/audit", params=params).json())

        largest = AUDIT_PAGE if limit is None else min(AUDIT_PAGE, limit)
        return islice(pages_by_cursor(page, "entries", largest), limit)

    def _get(self, kind: str, which: str, path: str) -> dict[str, Any]:
        try:
            return dict(self.request("GET", path).json())
        except NotFound:
            raise NotFound(f"no {kind} has the id {which}, or you may not see it") from None


def _path(*parts: str) -> str:
    """Return a path of these parts. An id that a user gives is one part, whatever characters it has."""
    return "".join(f"/{quote(part, safe='', errors='surrogateescape')}" for part in parts)


def is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False


def _is_default_of(assistant: Assistant, graph_id: str) -> bool:
    """Return whether it is the assistant that the server makes for a graph, which has the graph's name."""
    created_by = (assistant.get("metadata") or {}).get("created_by")
    return bool(created_by == "system" and assistant["name"] == assistant["graph_id"] == graph_id)


def _similar(assistants: list[Assistant]) -> str:
    names = list(dict.fromkeys(str(one["name"]) for one in assistants))
    if not names:
        return "`agenthall assistants list` shows them all"
    return f"there are {', '.join(names[:_FEW])}" + (", …" if len(names) > _FEW else "")
