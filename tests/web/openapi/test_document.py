from __future__ import annotations

from types import SimpleNamespace

import jsonschema
from pydantic import BaseModel

from robyn_server.core.access.permissions import Operation
from robyn_server.web.http.messages import Request, Response, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.openapi.docs_page import docs_page
from robyn_server.web.openapi.document import openapi
from robyn_server.web.routes import all_routes
from robyn_server.web.routes.system import server_info, system_routes
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
    (parameter,) = openapi(TABLE)["paths"]["/things/{thing_id}"]["post"]["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("thing_id", "path", True)


def test_query_parameters_and_every_status_of_success_are_declared() -> None:
    paths = openapi(all_routes())["paths"]
    one = "/agents/instances/{registration_id}"
    declared = {
        (method, path): [each["name"] for each in paths[path][method]["parameters"] if each["in"] == "query"]
        for method, path in (("get", "/agents/instances"), ("get", "/agents/watch"), ("delete", one), ("patch", one))
    }
    assert declared["get", "/agents/instances"] == [each.name for each in INSTANCES]
    assert declared["get", "/agents/watch"] == [each.name for each in WATCH]
    assert declared["delete", one] == ["epoch", "reason"] and declared["patch", one] == []
    assert set(paths["/agents/instances"]["post"]["responses"]) == {"200", "201", "default"}
    assert set(paths["/agents/configurations/{agent_id}"]["put"]["responses"]) == {"200", "201", "default"}


def test_what_is_not_offered_is_marked() -> None:
    operation = openapi(TABLE)["paths"]["/crons"]["get"]
    assert operation["x-not-offered"] is True
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
