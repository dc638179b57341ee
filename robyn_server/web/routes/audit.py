"""/audit: who changed which row, for administrators."""

from __future__ import annotations

from robyn_server.core.access.permissions import Operation
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.schemas.audit import AUDIT, filter_of
from robyn_server.web.schemas.queries import limit_of

routes = RouteTable(tag="Audit")


@routes.get(
    "/audit",
    operation=Operation.AUDIT_READ,
    query=AUDIT,
    summary="List entries of the audit trail, newest first, by `actor`, `action`, `resource_type`, `resource_id` and time",
)
async def search(services: Services, request: Request) -> Response:
    query = request.query
    return json_response(
        await services.audit.search(request.principal, filter_of(query), query.get("cursor"), limit_of(query))
    )
