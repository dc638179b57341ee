"""The routes as an OpenAPI 3.1 document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from robyn_server import __version__
from robyn_server.web.http.messages import JSON
from robyn_server.web.http.parameters import Parameter
from robyn_server.web.http.problems import PROBLEM_JSON
from robyn_server.web.http.routing import Route

from .answers import ANSWERS
from .named_schemas import SCHEMAS

SCHEMA = "#/components/schemas/{model}"
PROBLEM = "#/components/responses/Problem"
ORGANIZATION = "#/components/parameters/Organization"

NO_CREDENTIALS, BEARER, API_KEY = "", "bearer", "apiKey"
"""Names of the credentials that a request may have."""

_SCHEMES = {
    BEARER: {"type": "http", "scheme": "bearer", "description": "An API key, or a token if `AUTH_MODE` is `jwt`."},
    API_KEY: {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}

_ORGANIZATION = {
    "name": "X-Organization-Id",
    "in": "header",
    "description": "The organization to act for. Needed by callers of several, and by administrators for what belongs to one.",
    "schema": {"type": "string", "format": "uuid"},
}

_PROBLEM_SCHEMA = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "Stable, for programs."},
        "field": {"type": "string"},
        "request_id": {"type": "string"},
    },
}


def openapi(routes: Sequence[Route], credentials: Sequence[str] = (NO_CREDENTIALS, BEARER, API_KEY)) -> dict[str, Any]:
    """Describe the routes. They take one of `credentials`, and need none if NO_CREDENTIALS is among them."""
    names, schemas = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, names)
    schemes = [name for name in credentials if name != NO_CREDENTIALS]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Agenthall",
            "version": __version__,
            "description": "The LangGraph API on your own Postgres.",
        },
        # Relative to this document: the prefix of a proxy and its host are unknown here.
        "servers": [{"url": ".", "description": "This server"}],
        "security": [{name: []} if name else {} for name in credentials],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": _components(schemas, schemes),
    }


def _schemas(routes: Sequence[Route]) -> tuple[dict[type[BaseModel], str], dict[str, Any]]:
    """The reference of each body model, and all schemas."""
    models = list(dict.fromkeys(route.body for route in routes if route.body is not None))
    references, definitions = models_json_schema([(model, "validation") for model in models], ref_template=SCHEMA)
    return {model: references[(model, "validation")]["$ref"] for model in models}, definitions.get("$defs", {})


def _components(schemas: dict[str, Any], schemes: Sequence[str]) -> dict[str, Any]:
    content = {PROBLEM_JSON: {"schema": {"$ref": SCHEMA.format(model="Problem")}}}
    return {
        "schemas": {**schemas, **SCHEMAS, "Problem": _PROBLEM_SCHEMA},
        "responses": {"Problem": {"description": "What went wrong.", "content": content}},
        "parameters": {"Organization": _ORGANIZATION},
        "securitySchemes": {name: _SCHEMES[name] for name in schemes},
    }


def _operation(route: Route, references: dict[type[BaseModel], str]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation_id,
        "summary": route.summary,
        "tags": [route.tag],
        "responses": _responses(route),
    }
    if route.public:
        operation["security"] = []
    headers = [] if route.public else [{"$ref": ORGANIZATION}]
    parameters = [*map(_in_path, route.parameters), *map(_in_query, route.query or ()), *headers]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        schema = {"$ref": references[route.body]}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if route.not_built:
        operation |= {"x-not-offered": True, "summary": f"{route.summary} (not offered yet)"}
    return operation


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _in_query(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _responses(route: Route) -> dict[str, Any]:
    if route.not_built:
        return {"405": {"$ref": PROBLEM}, "default": {"$ref": PROBLEM}}
    successes = {str(status): _success(route, status) for status in (route.success, *route.other_statuses)}
    return {**successes, **{str(status): {"$ref": PROBLEM} for status in _errors(route)}, "default": {"$ref": PROBLEM}}


def _errors(route: Route) -> list[int]:
    """The statuses of refusals. `default` stands for those that a handler of a project chooses."""
    found = {400, 422, 503}
    if not route.public:
        found |= {401, 403}
    if route.body is not None or route.method not in {"GET", "DELETE"}:
        found |= {413, 415}
    if route.parameters or route.method == "POST":
        found |= {404, 409, 410}
    if route.method == "GET":
        found.add(413)  # an answer that is too large
    if route.streams:
        found.add(429)
    return sorted(found - {route.success, *route.other_statuses})


def _success(route: Route, status: int) -> dict[str, Any]:
    content: dict[str, Any] = {} if route.media_type == JSON else {route.media_type: {}}
    answer = ANSWERS.get((route.method, route.path))
    if answer is not None:
        content[JSON] = {"schema": answer}
    if status >= 400:  # noqa: PLR2004 - an answer with the status of an error, or the error itself
        content[PROBLEM_JSON] = {"schema": {"$ref": SCHEMA.format(model="Problem")}}
    if status == 204 or not content:  # noqa: PLR2004 - a status code says more than a name for it
        return {"description": "Success."}
    return {"description": "Success.", "content": content}
