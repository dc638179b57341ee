"""Every list, object and string in every request body has a bound, and a list ends at its first bad element."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from pydantic import BaseModel

from robyn_server.core.errors import Invalid, TooLarge
from robyn_server.core.json.bounded import MAX_ITEMS
from robyn_server.web.http.validation import MAX_PROBLEMS, MAX_VALUES, parse_body
from robyn_server.web.routes import all_routes

BODIES = sorted({route.body for route in all_routes() if route.body is not None}, key=lambda body: body.__name__)
SEQUENCES = ("list", "set", "frozenset", "tuple", "generator")


def _schemas(schema: Any) -> Iterator[dict[str, Any]]:
    """Every pydantic-core schema in `schema`, but those of the names of an object's members."""
    if isinstance(schema, dict):
        if isinstance(schema.get("type"), str):
            yield schema
        for name, value in schema.items():
            if name not in ("keys_schema", "metadata", "serialization", "default"):
                yield from _schemas(value)
    elif isinstance(schema, list | tuple):
        for each in schema:
            yield from _schemas(each)


def _core_schemas(body: type[BaseModel]) -> Iterator[dict[str, Any]]:
    return _schemas(body.__pydantic_core_schema__)


@pytest.mark.parametrize("body", BODIES)
def test_every_sequence_is_bounded_and_ends_at_its_first_bad_element(body: type[BaseModel]) -> None:
    for schema in _core_schemas(body):
        if schema["type"] in SEQUENCES:
            assert schema.get("max_length") is not None and schema.get("fail_fast"), schema


@pytest.mark.parametrize("body", BODIES)
def test_every_object_is_bounded_and_its_members_are_of_any_type(body: type[BaseModel]) -> None:
    for schema in _core_schemas(body):
        if schema["type"] == "dict":
            assert schema.get("max_length") is not None and schema["values_schema"]["type"] == "any", schema


@pytest.mark.parametrize("body", BODIES)
def test_every_string_is_bounded(body: type[BaseModel]) -> None:
    for schema in _core_schemas(body):
        if schema["type"] == "str":
            assert schema.get("max_length") is not None, schema


def _fields(body: type[BaseModel]) -> list[str]:
    return list(body.model_fields)


def _refusal(body: type[BaseModel], given: bytes) -> str:
    """Why the body is refused; empty when it is not."""
    try:
        parse_body(body, given)
    except Invalid as error:
        return error.detail
    return ""


ELEMENTS: dict[str, Any] = {"numbers": 5, "strings": "x", "objects": {}, "lists": [], "long strings": "x" * 2000}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("what", ELEMENTS)
def test_a_list_in_any_field_makes_few_errors(body: type[BaseModel], what: str) -> None:
    """Unions try each of their types, so one element may be refused in several ways."""
    for count in {MAX_ITEMS + 1, 20_000 if len(str(ELEMENTS[what])) < 100 else 2_000}:
        for field in _fields(body):
            given = orjson.dumps({field: [ELEMENTS[what]] * count})
            refusal = _refusal(body, given)
            assert len(refusal.split("; ")) <= MAX_PROBLEMS and len(refusal) < 4000


@pytest.mark.parametrize("body", BODIES)
def test_a_body_with_too_many_values_is_refused_before_it_is_parsed(body: type[BaseModel]) -> None:
    for given in (b'{"a": [' + b"5," * MAX_VALUES + b"5", b'{"a": ' + b"[[]," * MAX_VALUES):
        with pytest.raises(TooLarge, match="AGENTHALL_MAX_BODY_VALUES"):
            parse_body(body, given)


@pytest.mark.parametrize("body", [body for body in BODIES if body.model_config.get("extra") == "forbid"])
def test_of_many_unknown_fields_one_is_named(body: type[BaseModel]) -> None:
    given = orjson.dumps({"x" * 1000 + str(number): number for number in range(2000)})
    with pytest.raises(Invalid) as caught:
        parse_body(body, given)
    assert caught.value.detail == f"{'x' * 64}: Extra inputs are not permitted"
