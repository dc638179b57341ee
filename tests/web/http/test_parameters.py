from __future__ import annotations

import jsonschema
import pytest

from robyn_server.core.errors import BadRequest, Invalid
from robyn_server.web.http.messages import Query
from robyn_server.web.http.parameters import Parameter, ensure_fits
from robyn_server.web.http.routing import Route
from robyn_server.web.routes import all_routes

TAKEN = (
    Parameter("word", "A word.", max_length=5),
    Parameter("tag", "Words.", max_values=2),
    Parameter("status", "One of two.", choices=("on", "off")),
    Parameter("limit", "How many.", within=(1, 9), default=3),
    Parameter("reason", "Why.", may_be_empty=True),
)


def test_what_fits_is_let_through() -> None:
    ensure_fits(Query({}), TAKEN)
    given = {"word": ["abcde"], "tag": ["a", "b"], "status": ["on"], "limit": ["9"], "reason": [""]}
    ensure_fits(Query(given), TAKEN)


@pytest.mark.parametrize(
    ("name", "values", "rule"),
    [
        ("word", ["a", "b"], "give it once"),
        ("word", ["a", "a"], "give it once"),
        ("word", [""], "must not be empty"),
        ("word", ["abcdef"], "must have at most 5 characters"),
        ("word", ["a\0"], r"Text must not contain the character NUL (\u0000)"),
        ("tag", ["a", "b", "c"], "at most 2"),
        ("tag", ["a", ""], "must not be empty"),
        ("status", ["gone"], "must be one of on, off"),
        ("limit", [""], "must not be empty"),
        ("limit", ["10"], "Input should be less than or equal to 9"),
        ("limit", ["0"], "Input should be greater than or equal to 1"),
        ("reason", ["a", "b"], "give it once"),
        ("wrod", ["a"], "no such parameter; there are word, tag, status, limit, reason"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(name: str, values: list[str], rule: str) -> None:
    with pytest.raises(Invalid) as caught:
        ensure_fits(Query({name: values}), TAKEN)
    assert (caught.value.field, caught.value.detail) == (name, f"{name}: {rule}")


def test_what_is_no_integer_is_a_bad_request() -> None:
    with pytest.raises(BadRequest) as caught:
        ensure_fits(Query({"limit": ["many"]}), TAKEN)
    assert caught.value.field == "limit"


def test_a_name_that_nobody_knows_is_named_short_and_in_one_line() -> None:
    with pytest.raises(Invalid) as caught:
        ensure_fits(Query({"x\0" * 100: ["1"]}), ())
    field = str(caught.value.field)
    assert "\0" not in field and caught.value.detail == f"{field}: this takes no parameters in its address"


@pytest.mark.parametrize("parameter", TAKEN, ids=lambda each: each.name)
def test_the_schema_is_one_and_says_what_is_refused(parameter: Parameter) -> None:
    jsonschema.Draft202012Validator.check_schema(parameter.schema)


def test_the_schemas_say_the_rules() -> None:
    assert [each.schema for each in TAKEN] == [
        {"type": "string", "maxLength": 5, "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 2},
        {"type": "string", "enum": ["on", "off"]},
        {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
        {"type": "string"},
    ]


LANGGRAPH_TAGS = {"Assistants", "Threads", "Runs", "Store"}
BESIDE_LANGGRAPH = {
    "/runs",
    "/threads/{thread_id}/runs/{run_id}/timeline",
    "/threads/{thread_id}/storage",
    "/assistants/{assistant_id}/tools",
}
"""Our own GET paths among those of the LangGraph API."""

CALLED_BY_OTHERS = {"/metrics", "/connections/callback", "/ok", "/info", "/health", "/docs"}
"""Paths that a Prometheus, an authorization server or a load balancer call with parameters of their own."""


def takes_any(route: Route) -> bool:
    if route.tag in LANGGRAPH_TAGS:
        return not (route.method == "GET" and route.path in BESIDE_LANGGRAPH)
    return route.not_built or route.path in CALLED_BY_OTHERS


def test_a_route_of_ours_takes_its_own_parameters_only_and_one_of_langgraph_takes_any() -> None:
    assert {route.path for route in all_routes()} >= BESIDE_LANGGRAPH
    for route in all_routes():
        assert (route.query is None) is takes_any(route), (route.method, route.path)
