"""/agents/tickets: how a browser gets onto the sockets process."""

from __future__ import annotations

from robyn_server.services import Services
from robyn_server.services.tickets import LIFETIME
from robyn_server.web.http import Request, Response, json_response
from robyn_server.web.routing import RouteTable
from robyn_server.web.schemas.tickets import TicketBody
from robyn_server.web.validation import parse_body

routes = RouteTable(tag="Agents", query=())


@routes.post("/agents/tickets", summary="Make a ticket that opens one WebSocket (`?ticket=`), once, within 30 seconds")
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
