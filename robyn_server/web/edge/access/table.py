"""The events of each route, in one table: the questions that handlers of a project answer.

A route of the LangGraph API without a line is refused where a project has handlers, so that none is open by omission.
The other routes (`/agents`, `/audit`, `/doctor`, `/keys`, `/metrics`, `/overview`) keep the server's own credentials:
`EXEMPT` names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from robyn_server.web.http.routing import Route, segments

from .events import AssistantOfRunEvent, CopyEvent, Event, RunEvent, StoreEvent, StoreGetEvent, Subject

EXEMPT: Mapping[str, str] = {
    "agents": "The registry and agent sync: API keys and tokens of AUTH_MODE.",
    "audit": "For administrators: API keys and tokens of AUTH_MODE.",
    "doctor": "For operators: API keys and tokens of AUTH_MODE.",
    "keys": "For administrators: API keys and tokens of AUTH_MODE.",
    "metrics": "For operators: API keys and tokens of AUTH_MODE.",
    "overview": "For operators: API keys and tokens of AUTH_MODE.",
}
"""The first segments of paths that handlers are not asked about, with the reason."""

OWN: Mapping[str, str] = {
    "me": "A handler authenticates the user, about whom the answer is.",
    "connections": "A handler authenticates the user, who reaches the own connections alone.",
}
"""The first segments of paths that have no events, with the reason."""

_METADATA = {"metadata": "metadata"}
_PAGE = {"limit": "limit", "offset": "offset"}
_ASSISTANT, _THREAD, _RUN = ("assistant_id",), ("thread_id",), ("thread_id", "run_id")
_ASSISTANT_CONTENT = {each: each for each in ("graph_id", "config", "context", "metadata", "name")}


def _deletes_threads(subject: Subject) -> bool:
    return subject.request.query.boolean("delete_threads")


def _cancels(subject: Subject) -> bool:
    return subject.request.query.boolean("cancel_on_disconnect")


_READ_ASSISTANT = (Event(resource="assistants", action="read", path=_ASSISTANT),)
_SEARCH_ASSISTANTS = {"graph_id": "graph_id", "metadata": "metadata", "name": "name"}
_READ_THREAD = (Event(resource="threads", action="read", path=_THREAD),)
_READ_RUN = (Event(resource="threads", action="read", path=_RUN),)
_UPDATE_RUN = Event(resource="threads", action="update", path=_RUN)
_JOIN_RUN = (*_READ_RUN, Event(resource="threads", action="update", path=_RUN, when=_cancels))
_CREATE_RUN = (
    RunEvent(resource="threads", action="create_run"),
    AssistantOfRunEvent(resource="assistants", action="read"),
)
_SEARCH_THREADS = {"metadata": "metadata", "values": "values", "status": "status"}
_UPDATE_STATE = Event(
    resource="threads", action="update", path=_THREAD, fields={"values": "values", "as_node": "as_node"}
)
_ITEM = {"namespace": "namespace", "key": "key"}

TABLE: Mapping[str, tuple[Event, ...]] = {
    "POST /assistants": (
        Event(resource="assistants", action="create", fields=_ASSISTANT_CONTENT, shown=("assistant_id", "if_exists")),
    ),
    "POST /assistants/search": (Event(resource="assistants", action="search", fields=_SEARCH_ASSISTANTS | _PAGE),),
    "POST /assistants/count": (Event(resource="assistants", action="search", fields=_SEARCH_ASSISTANTS),),
    "GET /assistants/{assistant_id}": _READ_ASSISTANT,
    "PATCH /assistants/{assistant_id}": (
        Event(resource="assistants", action="update", path=_ASSISTANT, fields=_ASSISTANT_CONTENT),
    ),
    "DELETE /assistants/{assistant_id}": (
        Event(resource="assistants", action="delete", path=_ASSISTANT),
        Event(resource="threads", action="delete", when=_deletes_threads),
    ),
    "POST /assistants/{assistant_id}/versions": (
        Event(resource="assistants", action="read", path=_ASSISTANT, fields=_METADATA | _PAGE),
    ),
    "POST /assistants/{assistant_id}/latest": (
        Event(resource="assistants", action="update", path=_ASSISTANT, fields={"version": "version"}),
    ),
    "GET /assistants/{assistant_id}/graph": _READ_ASSISTANT,
    "GET /assistants/{assistant_id}/tools": _READ_ASSISTANT,
    "GET /assistants/{assistant_id}/schemas": _READ_ASSISTANT,
    "GET /assistants/{assistant_id}/subgraphs": _READ_ASSISTANT,
    "GET /assistants/{assistant_id}/subgraphs/{namespace}": _READ_ASSISTANT,
    "POST /threads": (Event(resource="threads", action="create", fields=_METADATA, shown=("thread_id", "if_exists")),),
    "POST /threads/search": (
        Event(resource="threads", action="search", fields=_SEARCH_THREADS | _PAGE | {"ids": "ids"}),
    ),
    "POST /threads/count": (Event(resource="threads", action="search", fields=_SEARCH_THREADS),),
    "POST /threads/prune": (Event(resource="threads", action="delete", shown=("thread_ids", "strategy")),),
    "POST /threads/{thread_id}/copy": (
        *_READ_THREAD,
        CopyEvent(resource="threads", action="create", grant="new_threads"),
    ),
    "GET /threads/{thread_id}": _READ_THREAD,
    "PATCH /threads/{thread_id}": (Event(resource="threads", action="update", path=_THREAD, fields=_METADATA),),
    "DELETE /threads/{thread_id}": (Event(resource="threads", action="delete", path=_THREAD),),
    "GET /threads/{thread_id}/state": _READ_THREAD,
    "GET /threads/{thread_id}/state/{checkpoint_id}": _READ_THREAD,
    "POST /threads/{thread_id}/state/checkpoint": _READ_THREAD,
    "POST /threads/{thread_id}/state": (_UPDATE_STATE,),
    "GET /threads/{thread_id}/history": _READ_THREAD,
    "GET /threads/{thread_id}/storage": _READ_THREAD,
    "POST /threads/{thread_id}/history": _READ_THREAD,
    "POST /threads/{thread_id}/runs": _CREATE_RUN,
    "POST /runs": _CREATE_RUN,
    "POST /threads/{thread_id}/runs/stream": _CREATE_RUN,
    "POST /runs/stream": _CREATE_RUN,
    "POST /threads/{thread_id}/runs/wait": _CREATE_RUN,
    "POST /runs/wait": _CREATE_RUN,
    "POST /runs/batch": _CREATE_RUN,
    "GET /runs": (Event(resource="threads", action="search"),),
    "GET /threads/{thread_id}/runs": _READ_THREAD,
    "GET /threads/{thread_id}/runs/{run_id}": _READ_RUN,
    "GET /threads/{thread_id}/runs/{run_id}/timeline": _READ_RUN,
    "GET /threads/{thread_id}/runs/{run_id}/join": _JOIN_RUN,
    "GET /threads/{thread_id}/runs/{run_id}/stream": _JOIN_RUN,
    "GET /runs/{run_id}/stream": _JOIN_RUN,
    "GET /threads/{thread_id}/stream": _READ_THREAD,
    "POST /runs/cancel": (Event(resource="threads", action="update", shown=("thread_id", "run_ids", "status")),),
    "DELETE /threads/{thread_id}/runs/{run_id}": (Event(resource="threads", action="delete", path=_RUN),),
    "POST /threads/{thread_id}/runs/{run_id}/cancel": (_UPDATE_RUN,),
    "PUT /store/items": (
        StoreEvent(resource="store", action="put", fields=_ITEM | {"value": "value"}, shown=("index",)),
    ),
    "GET /store/items": (StoreGetEvent(resource="store", action="get"),),
    "DELETE /store/items": (StoreEvent(resource="store", action="delete", fields=_ITEM),),
    "POST /store/items/search": (
        StoreEvent(
            resource="store",
            action="search",
            fields={"namespace": "namespace_prefix", "filter": "filter", "query": "query"} | _PAGE,
        ),
    ),
    "POST /store/namespaces": (
        StoreEvent(
            resource="store",
            action="list_namespaces",
            fields={"namespace": "prefix", "suffix": "suffix", "max_depth": "max_depth"} | _PAGE,
        ),
    ),
}


@cache
def is_governed(route: Route) -> bool:
    """Whether handlers decide about the route. Public routes and those of `EXEMPT` keep the server's rules."""
    parts = segments(route.path)
    return not route.public and not (parts and parts[0] in EXEMPT)


def events_of(route: Route) -> tuple[Event, ...] | None:
    """The events of a route, none for those of `OWN`; None without a line in the table."""
    parts = segments(route.path)
    if parts and parts[0] in OWN:
        return ()
    return TABLE.get(f"{route.method} {route.path}")
