"""Answers compared with the OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

import httpx
import jsonschema

from robyn_server.web.http.routing import Route
from robyn_server.web.openapi.document import openapi
from robyn_server.web.routes import all_routes

_DOCUMENT = openapi(all_routes())


def check_declared(route: Route, answer: httpx.Response, text: str) -> None:
    """Raises AssertionError or ValidationError unless the status, the media type and the body are those described."""
    declared = _DOCUMENT["paths"][route.path][route.method.lower()]["responses"]
    told = (route.method, route.path, answer.status_code, text[:500])
    assert str(answer.status_code) in declared, told
    content = _resolved(declared[str(answer.status_code)]).get("content", {})
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    assert media_type in content or not text, told
    schema = content.get(media_type, {}).get("schema")
    if schema is not None and text:
        whole = {**schema, "components": _DOCUMENT["components"]}
        jsonschema.Draft202012Validator(whole).validate(json.loads(text))


def _resolved(response: dict[str, Any]) -> dict[str, Any]:
    name = response.get("$ref", "").rpartition("/")[2]
    return dict(_DOCUMENT["components"]["responses"][name]) if name else response
