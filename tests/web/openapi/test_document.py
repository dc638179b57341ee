from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import urljoin

import jsonschema
import pytest
from pydantic import BaseModel

from robyn_server.core.access.permissions import Operation
from robyn_server.web.http.messages import JSON, Request, Response, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.openapi.answers import ANSWERS
from robyn_server.web.openapi.docs_page import docs_page
from robyn_server.web.openapi.document import API_KEY, BEARER, NO_CREDENTIALS, openapi
from robyn_server.web.openapi.named_schemas import SCHEMAS
from robyn_server.web.routes import all_routes
from robyn_server.web.routes.server.system import server_info, system_routes
from robyn_server.web.schemas.queries import INSTANCES, WATCH


class Part(BaseModel):
    size: int


class ThingCreate(BaseModel):
    name: str
    parts: list[Part] = []


routes = RouteTable(tag="Things", operation=Operation.APP_USE)


@routes.post("/things/{thing_id}", summary="Make a <thing>", body=ThingCreate)
async def create(_services: object, _request: Request, _body: ThingCreate) -> Response:
    return json_response({})


routes.not_offered("GET", "/crons", "List crons")
host = SimpleNamespace(routes=routes, readiness=lambda: (True, {}))
TABLE = [*system_routes(host), *routes]


def test_every_reference_leads_somewhere_and_every_operation_has_its_own_id() -> None:
    spec = openapi(TABLE)
    text = str(spec)
    assert spec["openapi"] == "3.1.0"
    for name in ("ThingCreate", "Part", "Problem"):
        assert f"#/components/schemas/{name}" in text
        jsonschema.Draft202012Validator.check_schema(spec["components"]["schemas"][name])
    ids = [operation["operationId"] for path in spec["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids)) == len(TABLE)


def test_path_parameters_are_declared() -> None:
    parameter, _ = openapi(TABLE)["paths"]["/things/{thing_id}"]["post"]["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("thing_id", "path", True)


def test_query_parameters_and_every_status_of_success_are_declared() -> None:
    paths = openapi(all_routes())["paths"]
    one = "/agents/instances/{registration_id}"
    declared = {
        (method, path): [each["name"] for each in paths[path][method]["parameters"] if each.get("in") == "query"]
        for method, path in (("get", "/agents/instances"), ("get", "/agents/watch"), ("delete", one), ("patch", one))
    }
    assert declared["get", "/agents/instances"] == [each.name for each in INSTANCES]
    assert declared["get", "/agents/watch"] == [each.name for each in WATCH]
    assert declared["delete", one] == ["epoch", "reason"] and declared["patch", one] == []
    for path, method in (("/agents/instances", "post"), ("/agents/configurations/{agent_id}", "put")):
        successes = {status for status in paths[path][method]["responses"] if status.startswith("2")}
        assert successes == {"200", "201"}


def test_an_operation_of_a_caller_takes_an_organization_and_a_public_one_does_not() -> None:
    reference = {"$ref": "#/components/parameters/Organization"}
    for route in all_routes():
        operation = openapi([route])["paths"][route.path][route.method.lower()]
        assert (reference in operation.get("parameters", [])) is not route.public, route.path


def test_the_answer_of_every_operation_has_a_schema() -> None:
    for route in [*system_routes(host), *all_routes()]:
        is_json = route.media_type == JSON and route.success == 200 and not route.not_built
        assert not is_json or (route.method, route.path) in ANSWERS, route.path
    assert {*ANSWERS} <= {(route.method, route.path) for route in [*system_routes(host), *all_routes()]}


def test_schemas_of_answers_are_schemas_and_have_names_of_their_own() -> None:
    spec = openapi(all_routes())
    bodies = {name for name in spec["components"]["schemas"] if name not in SCHEMAS}
    assert {route.body.__name__ for route in all_routes() if route.body is not None} <= bodies
    for schema in (*SCHEMAS.values(), *ANSWERS.values()):
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_refusal_that_an_operation_may_make_is_listed() -> None:
    paths = openapi(all_routes())["paths"]
    assert {"401", "403", "404", "413", "415", "422"} <= set(paths["/threads"]["post"]["responses"])
    assert "429" in paths["/runs/stream"]["post"]["responses"]
    assert "401" not in openapi(TABLE)["paths"]["/info"]["get"]["responses"]


def test_the_server_is_where_the_document_is() -> None:
    """The prefix of a proxy is unknown here. RFC 3986 resolves the address against that of the document."""
    (server,) = openapi(TABLE)["servers"]
    assert urljoin("https://example.com/hall/openapi.json", server["url"]) == "https://example.com/hall/"


@pytest.mark.parametrize(
    ("credentials", "security"),
    [
        ((NO_CREDENTIALS,), [{}]),
        ((BEARER, API_KEY), [{"bearer": []}, {"apiKey": []}]),
        ((NO_CREDENTIALS, BEARER, API_KEY), [{}, {"bearer": []}, {"apiKey": []}]),
    ],
)
def test_the_credentials_that_are_taken_are_described(credentials: list[str], security: list[object]) -> None:
    spec = openapi(TABLE, credentials)
    assert spec["security"] == security
    assert {*spec["components"]["securitySchemes"]} == {name for name in credentials if name}
    assert spec["paths"]["/info"]["get"]["security"] == []
    assert "security" not in spec["paths"]["/things/{thing_id}"]["post"]


def test_what_is_not_offered_is_marked() -> None:
    operation = openapi(TABLE)["paths"]["/crons"]["get"]
    assert operation["x-not-offered"] is True
    assert operation["summary"] == "List crons (not offered yet)"
    assert "405" in operation["responses"]


def test_the_page_lists_every_route_escaped_and_loads_nothing() -> None:
    page = docs_page(TABLE)
    assert "Make a &lt;thing&gt;" in page
    assert "/things/{thing_id}" in page
    assert "not offered yet" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_versions_are_known_without_importing_langgraph() -> None:
    info = server_info()
    assert info["langgraph_py_version"].count(".") == 2
    assert set(info) == {"version", "langgraph_py_version", "flags", "host"}
