"""Replace the names of agents in a request by the ids of their assistants, before handlers of a project are asked.

The handlers are asked about the very assistant that is used afterwards. Users of a project have no organizations, so
the names are those of all organizations; the handlers decide what a user reaches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.core.ids import default_assistant_id, find_uuid
from robyn_server.web.http.messages import Request
from robyn_server.web.schemas.runs import RunBatch, RunCreateStateless

_PARAMETER = "assistant_id"
_EVERYBODY = Principal("names of assistants", organizations=None)


class NamesAssistants(Protocol):
    async def id_of(self, principal: Principal, name: str) -> UUID:
        """The id of the assistant that a UUID, the name of a graph or the name of an agent means."""
        ...


class Named(NamedTuple):
    """`ids`: of the assistants that the request and its body name."""

    request: Request
    body: Any
    ids: Mapping[str, UUID]


async def with_ids(request: Request, body: Any, assistants: NamesAssistants) -> Named:
    """Raises Invalid for a name that means no assistant, BadRequest for one that means several."""
    ids = {name: await assistants.id_of(_EVERYBODY, name) for name in dict.fromkeys(_names(request, body))}
    agents = {name: str(found) for name, found in ids.items() if _is_of_agent(name, found)}
    if not agents:
        return Named(request, body, ids)
    return Named(
        _request_with(request, agents), _body_with(body, agents), ids | {str(each): each for each in ids.values()}
    )


def _names(request: Request, body: Any) -> list[str]:
    runs = [each.assistant_id for each in _runs(body)]
    return [request.path_params[_PARAMETER], *runs] if _PARAMETER in request.path_params else runs


def _runs(body: Any) -> list[RunCreateStateless]:
    if isinstance(body, RunBatch):
        return list(body.root)
    return [body] if isinstance(body, RunCreateStateless) else []


def _is_of_agent(name: str, assistant_id: UUID) -> bool:
    return find_uuid(name) is None and assistant_id != default_assistant_id(name)


def _request_with(request: Request, agents: Mapping[str, str]) -> Request:
    parameters = request.path_params
    return replace(
        request,
        path_params={name: agents.get(text, text) if name == _PARAMETER else text for name, text in parameters.items()},
    )


def _body_with(body: Any, agents: Mapping[str, str]) -> Any:
    if isinstance(body, RunBatch):
        return RunBatch.model_construct(root=[_run_with(each, agents) for each in body.root])
    return _run_with(body, agents) if isinstance(body, RunCreateStateless) else body


def _run_with(run: RunCreateStateless, agents: Mapping[str, str]) -> RunCreateStateless:
    assistant_id = agents.get(run.assistant_id)
    return run if assistant_id is None else run.model_copy(update={"assistant_id": assistant_id})
