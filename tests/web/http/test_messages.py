from __future__ import annotations

import pytest

from robyn_server.core.errors import BadRequest, Invalid
from robyn_server.web.http.messages import Query, empty, json_response, parse_json


def test_a_query_is_decoded_and_keeps_repeated_values() -> None:
    query = Query.from_raw([("a%5B%5D", "x+y"), ("a[]", "%E4%BD%A0"), ("b", "")])
    assert query.get_all("a[]") == ["x y", "你"]
    assert query.get("a[]") == "你"
    assert query.get("b") == ""
    assert query.get("c") is None
    assert query.get_all("c") == []


def test_a_query_that_is_not_utf8_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="not UTF-8"):
        Query.from_raw([("a", "%ff")])


def test_an_integer_has_a_default_and_a_range() -> None:
    query = Query({"limit": ["5"], "empty": [""]})
    assert query.integer("limit") == 5
    assert query.integer("offset", 7) == 7
    assert query.integer("empty", 3) == 3
    with pytest.raises(Invalid, match=r"^limit: .* less than or equal to 4") as caught:
        query.integer("limit", maximum=4)
    assert caught.value.field == "limit"
    with pytest.raises(Invalid, match="greater than or equal to 6"):
        query.integer("limit", minimum=6)


def test_what_is_no_integer_is_a_bad_request_naming_the_parameter() -> None:
    with pytest.raises(BadRequest, match=r"^limit: 'zzz'"):
        Query({"limit": ["zzz"]}).integer("limit")


@pytest.mark.parametrize(("text", "value"), [("1", True), ("TRUE", True), ("off", False), ("", False)])
def test_a_boolean_is_read(text: str, value: bool) -> None:
    assert Query({"x": [text]}).boolean("x", not value) is value


def test_what_is_no_boolean_is_a_bad_request() -> None:
    assert Query({}).boolean("x", True) is True
    with pytest.raises(BadRequest, match=r"^x: 'maybe'"):
        Query({"x": ["maybe"]}).boolean("x")


@pytest.mark.parametrize("body", [b"", b"{bad", b"NaN", b"\xff", b'"\\ud800"'])
def test_a_missing_or_malformed_body_is_invalid_json(body: bytes) -> None:
    with pytest.raises(Invalid, match=r"^Invalid JSON in request body$"):
        parse_json(body)


def test_json_text_passes_through_and_values_are_printed() -> None:
    assert json_response(b'{"a": 1}').body == b'{"a": 1}'
    assert json_response('{"é": 1}').body == '{"é": 1}'.encode()
    assert json_response({"b": 1, "a": 2}, status=201).body == b'{"b":1,"a":2}'


def test_an_empty_answer_has_no_content_type() -> None:
    assert (empty().status, empty().body, empty().media_type) == (204, b"", "")
