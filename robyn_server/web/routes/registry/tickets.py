"""/agents/tickets: single-use tickets that open a WebSocket."""

from __future__ import annotations

from robyn_server.core.access.permissions import Operation
from robyn_server.identity.tickets import LIFETIME
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.http.validation import parse_body
from robyn_server.web.schemas.registry.tickets import TicketBody

routes = RouteTable(tag="Agents", query=())


@routes.post(
    "/agents/tickets",
    operation=Operation.SOCKETS_TICKET,
    summary="Create a ticket that opens one WebSocket (`?ticket=`) within 30 seconds",
)
async def create(services: Services, request: Request) -> Response:
    if request.body:
        parse_body(TicketBody, request.body)
    ticket = await services.tickets.issue(request.headers)
    body = {
        "ticket": ticket.text,
        "expires_at": ticket.expires_at,
        "expires_in_seconds": int(LIFETIME.total_seconds()),
    }
    return json_response(body, headers=(("cache-control", "no-store"),))
