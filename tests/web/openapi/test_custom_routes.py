"""The operations of a FastAPI app in the server's OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from served.http_apps.fastapi_app import app

from robyn_server.web.asgi.app_routes import RESERVED
from robyn_server.web.asgi.description import openapi_of
from robyn_server.web.openapi.custom_routes import TAG, with_custom_routes
from robyn_server.web.openapi.document import openapi
from robyn_server.web.routes import all_routes
from robyn_server.web.routes.server.system import system_routes

SERVER = openapi([*system_routes(None), *all_routes()])  # type: ignore[arg-type]  # no route is called


def merged(*, has_credentials: bool = False) -> dict[str, Any]:
    document = openapi_of(app)
    assert document is not None
    return with_custom_routes(SERVER, document, reserved=RESERVED, has_credentials=has_credentials)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_routes_of_the_app_are_added_and_all_others_stay() -> None:
    paths = merged()["paths"]
    assert paths["/threads/{thread}/title"]["put"]["tags"] == ["Titles"]
    assert paths["/guarded"]["get"]["tags"] == [TAG]
    for path, item in SERVER["paths"].items():
        for method, operation in item.items():
            if (path, method) != ("/threads/{thread_id}", "get"):
                assert paths[path][method] == operation


def test_a_route_in_place_of_the_servers_is_described_as_the_apps_with_the_servers_names() -> None:
    operation = merged()["paths"]["/threads/{thread_id}"]["get"]
    assert operation["operationId"] == "get_thread_threads__thread__get"
    assert [each["name"] for each in operation["parameters"]] == ["thread_id"]
    assert "/threads/{thread}" not in merged()["paths"]


def test_a_reserved_path_stays_the_servers() -> None:
    assert merged()["paths"]["/ok"] == SERVER["paths"]["/ok"]


def test_names_that_both_have_are_told_apart() -> None:
    document = merged()
    schemas = document["components"]["schemas"]
    assert schemas["Problem"] == SERVER["components"]["schemas"]["Problem"]
    assert schemas["AppProblem"]["required"] == ["reason"]
    assert schemas["Title"]["properties"]["problems"]["items"] == {"$ref": "#/components/schemas/AppProblem"}
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))


def test_every_reference_leads_somewhere() -> None:
    document = merged()
    for reference in references(document):
        kind, name = reference.removeprefix("#/components/").split("/")
        assert name in document["components"][kind], reference


@pytest.mark.parametrize(("has_credentials", "security"), [(False, []), (True, None)])
def test_an_operation_without_security_of_its_own_has_that_of_its_requests(
    has_credentials: bool, security: list[Any] | None
) -> None:
    paths = merged(has_credentials=has_credentials)["paths"]
    assert paths["/threads/{thread}/title"]["put"].get("security") == security
    assert paths["/guarded"]["get"]["security"] == [{"HTTPBearer": []}]
    assert "HTTPBearer" in merged()["components"]["securitySchemes"]


def test_an_app_that_publishes_no_document_or_has_none_is_not_described() -> None:
    assert openapi_of(FastAPI(openapi_url=None)) is None
    assert openapi_of(print) is None


def test_an_app_that_cannot_describe_itself_is_not_described() -> None:
    broken = FastAPI()

    def fail() -> dict[str, Any]:
        raise RuntimeError("a model without a schema")

    broken.openapi = fail  # type: ignore[method-assign]
    assert openapi_of(broken) is None
