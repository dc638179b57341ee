"""/connections: the connections of a user to MCP servers."""

from __future__ import annotations

from robyn_server.core.access.permissions import Operation
from robyn_server.core.ids import parse_uuid
from robyn_server.credentials.oauth.authorizations import AUTHORIZATION_SECONDS, AuthorizationAnswer
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, empty, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.schemas.connections import CallbackBody, ConnectBody, page, rendered, rendered_server

routes = RouteTable(tag="Connections")

_PRIVATE = (("cache-control", "no-store"), ("referrer-policy", "no-referrer"))
_PAGE = (*_PRIVATE, ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"))


@routes.get(
    "/connections",
    operation=Operation.CONNECTIONS_READ,
    query=(),
    summary="List your connections to MCP servers, without tokens",
)
async def search(services: Services, request: Request) -> Response:
    found = await services.connections.list(request.principal)
    return json_response([rendered(each) for each in found])


@routes.get(
    "/connections/servers",
    operation=Operation.CONNECTIONS_READ,
    query=(),
    summary="List the MCP servers that you can connect to",
)
async def servers(services: Services, request: Request) -> Response:
    found = await services.connections.servers(request.principal)
    return json_response([rendered_server(each) for each in found])


@routes.post(
    "/connections",
    operation=Operation.CONNECTIONS_BEGIN,
    body=ConnectBody,
    query=(),
    summary="Begin a connection to an MCP server: returns the URL that you open",
)
async def begin(services: Services, request: Request, body: ConnectBody) -> Response:
    opened = await services.connections.begin(request.principal, body.url)
    return json_response({"authorization_url": opened, "expires_in": AUTHORIZATION_SECONDS}, headers=_PRIVATE)


@routes.delete(
    "/connections/{connection_id}",
    operation=Operation.CONNECTIONS_DELETE,
    query=(),
    success=204,
    summary="Delete a connection and revoke its tokens",
)
async def delete(services: Services, request: Request) -> Response:
    await services.connections.delete(
        request.principal, parse_uuid(request.path_params["connection_id"], "connection ID")
    )
    return empty()


@routes.get(
    "/connections/callback",
    operation=Operation.CONNECTIONS_RETURN,
    media_type="text/html",
    summary="Complete a connection: the authorization server sends the browser here",
)
async def callback(services: Services, request: Request) -> Response:
    get = request.query.get  # others are ignored (RFC 6749, section 4.1.2)
    answer = AuthorizationAnswer(get("state") or "", get("code"), get("error"), get("iss"))
    connected = await services.connections.complete(answer, None)
    return Response(body=page(connected), headers=_PAGE, media_type="text/html; charset=utf-8")


@routes.post(
    "/connections/callback",
    operation=Operation.CONNECTIONS_COMPLETE,
    body=CallbackBody,
    summary="Complete a connection: your page posts the parameters that it was called with",
)
async def complete(services: Services, request: Request, body: CallbackBody) -> Response:
    connected = await services.connections.complete(body.answer(), request.principal)
    return json_response({"url": connected.url}, headers=_PRIVATE)
