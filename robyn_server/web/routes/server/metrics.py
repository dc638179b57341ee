"""/metrics: for Prometheus, and as the JSON of LangGraph's server."""

from __future__ import annotations

from robyn_server.core.access.permissions import Operation
from robyn_server.core.errors import Invalid
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, json_response
from robyn_server.web.http.routing import RouteTable

routes = RouteTable(tag="System")


@routes.get(
    "/metrics",
    operation=Operation.METRICS_READ,
    summary="Metrics: text for Prometheus, or JSON (`format`)",
    media_type="text/plain",
)
async def metrics(services: Services, request: Request) -> Response:
    if _wants_json(request):
        return json_response(await services.metrics.summary(request.principal))
    text = await services.metrics.text(request.principal, request.headers.get("accept", ""))
    return Response(body=text.body, media_type=text.media_type)


def _wants_json(request: Request) -> bool:
    asked = request.query.get("format", "prometheus")
    if asked not in {"prometheus", "json"}:
        raise Invalid("format: must be `prometheus` or `json`", field="format")
    return asked == "json"
