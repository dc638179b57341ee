"""/store"""

from __future__ import annotations

from robyn_server.core.access.permissions import Operation
from robyn_server.core.errors import BadRequest
from robyn_server.services import Services
from robyn_server.web.http.messages import Query, Request, Response, empty, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.schemas.store import ItemName, ItemPut, ItemSearch, NamespaceList

routes = RouteTable(tag="Store")


@routes.put("/store/items", operation=Operation.STORE_WRITE, body=ItemPut, summary="Put an item", success=204)
async def put(services: Services, request: Request, body: ItemPut) -> Response:
    await services.store.put(request.principal, body.namespace, body.key, body.value, ttl=body.ttl, index=body.paths())
    return empty()


@routes.get("/store/items", operation=Operation.STORE_READ, summary="Get an item")
async def get(services: Services, request: Request) -> Response:
    """The namespace's labels are joined by dots, as the SDKs send them. An item that does not exist is `null`."""
    labels, key = item_name(request.query)
    refresh = request.query.boolean("refresh_ttl") if request.query.get("refresh_ttl") else None
    return json_response(await services.store.find(request.principal, labels, key, refresh=refresh))


def item_name(query: Query) -> tuple[list[str], str]:
    """The namespace and the key that a query names. Raises BadRequest."""
    namespaces, key = query.get_all("namespace"), query.get("key")
    if not key:
        raise BadRequest("Key is required", field="key")
    if len(namespaces) > 1:
        raise BadRequest("namespace: join the labels by dots in one parameter", field="namespace")
    return (namespaces[0].split(".") if namespaces and namespaces[0] else []), key


@routes.delete("/store/items", operation=Operation.STORE_WRITE, body=ItemName, summary="Delete an item", success=204)
async def delete(services: Services, request: Request, body: ItemName) -> Response:
    await services.store.delete(request.principal, body.namespace, body.key)
    return empty()


@routes.post("/store/items/search", operation=Operation.STORE_READ, body=ItemSearch, summary="Search items")
async def search(services: Services, request: Request, body: ItemSearch) -> Response:
    found = await services.store.search(
        request.principal,
        body.namespace_prefix or [],
        body.filter,
        query=body.query,
        limit=body.limit,
        offset=body.offset,
        refresh=body.refresh_ttl,
    )
    return json_response(found)


@routes.post("/store/namespaces", operation=Operation.STORE_READ, body=NamespaceList, summary="List namespaces")
async def list_namespaces(services: Services, request: Request, body: NamespaceList) -> Response:
    found = await services.store.list_namespaces(
        request.principal, body.patterns(), depth=body.max_depth, limit=body.limit, offset=body.offset
    )
    return json_response({"namespaces": found})
