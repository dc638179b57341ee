"""/agents/sync: for administrators."""

from __future__ import annotations

from uuid import UUID

from robyn_server.core.access.permissions import Operation
from robyn_server.core.ids import parse_uuid
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.schemas.agents import AgentSyncBody, rendered
from robyn_server.web.schemas.queries import FAILURES, SYNC_FAILURES

routes = RouteTable(tag="Agents", query=())


@routes.get(
    "/agents/sync",
    operation=Operation.AGENT_SYNC_READ,
    query=SYNC_FAILURES,
    summary="Get the status of agent sync: last passes, failures (`limit`, `after`), contract",
)
async def status(services: Services, request: Request) -> Response:
    limit = request.query.integer("limit") or FAILURES
    return json_response(await services.agent_sync.status(request.principal, after=_after(request), limit=limit))


@routes.post(
    "/agents/sync",
    operation=Operation.AGENT_SYNC_RUN,
    body=AgentSyncBody,
    has_deadline=False,
    summary="Sync a scope or an agent now, or report what that would change",
)
async def sync(services: Services, request: Request, body: AgentSyncBody) -> Response:
    return json_response(rendered(await services.agent_sync.sync(request.principal, body.request())))


def _after(request: Request) -> UUID | None:
    text = request.query.get("after")
    return parse_uuid(text, "after") if text else None
