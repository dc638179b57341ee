"""/keys: API keys, for administrators."""

from __future__ import annotations

from datetime import timedelta

from robyn_server.core.access.permissions import Operation
from robyn_server.core.ids import parse_uuid
from robyn_server.identity.api_keys import IssuedKey
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, empty, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.schemas.keys import DEFAULT_PAGE, KEYS, KeyBody, RotationBody, rendered

routes = RouteTable(tag="Keys", query=())


@routes.get(
    "/keys",
    operation=Operation.KEYS_READ,
    query=KEYS,
    summary="List API keys, newest first, without secrets",
)
async def search(services: Services, request: Request) -> Response:
    named = request.query.get("organization_id")
    keys, total = await services.keys.search(
        request.principal,
        parse_uuid(named, "organization_id") if named else None,
        limit=request.query.integer("limit") or DEFAULT_PAGE,
        offset=request.query.integer("offset") or 0,
    )
    return json_response([rendered(key) for key in keys], headers=(("x-pagination-total", str(total)),))


@routes.post(
    "/keys",
    operation=Operation.KEYS_CREATE,
    body=KeyBody,
    summary="Create an API key; the answer has the secret `key`, which is stored nowhere",
)
async def create(services: Services, request: Request, body: KeyBody) -> Response:
    return _with_secret(await services.keys.create(request.principal, body.request()))


@routes.post(
    "/keys/{prefix}/rotate",
    operation=Operation.KEYS_ROTATE,
    body=RotationBody,
    summary="Give an API key a new secret; the old one stays valid for `overlap` seconds",
)
async def rotate(services: Services, request: Request, body: RotationBody) -> Response:
    overlap = timedelta(seconds=body.overlap)
    return _with_secret(await services.keys.rotate(request.principal, request.path_params["prefix"], overlap))


def _with_secret(made: IssuedKey) -> Response:
    return json_response({"key": made.text.text, **rendered(made.key)}, headers=(("cache-control", "no-store"),))


@routes.delete("/keys/{prefix}", operation=Operation.KEYS_REVOKE, success=204, summary="Revoke an API key")
async def revoke(services: Services, request: Request) -> Response:
    await services.keys.revoke(request.principal, request.path_params["prefix"])
    return empty()
