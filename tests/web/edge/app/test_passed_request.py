"""A request as the middleware of a project's app passed it on."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robyn_server.core.errors import BadRequest
from robyn_server.web.asgi.scope import AppRequest, http_scope
from robyn_server.web.edge.app.passed_request import passed_body, passed_request
from robyn_server.web.edge.raw_request import RawRequest
from robyn_server.web.http.messages import Query

NAMES = st.text("abc-", min_size=1)
VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=9)
PATHS = st.lists(st.text(max_size=5), max_size=4).map(
    lambda parts: "/" + "/".join(quote(each, safe="") for each in parts)
)
QUERIES = st.lists(st.tuples(NAMES, st.text(max_size=5).map(quote)), max_size=4)


def scope_of(raw: RawRequest) -> dict[str, Any]:
    return http_scope(
        AppRequest(raw.method, raw.path, raw.query, list(raw.headers.items()), b"", "the-id"), ("127.0.0.1", 1), {}
    )


@given(path=PATHS, query=QUERIES, headers=st.dictionaries(NAMES, VALUES, max_size=3))
def test_a_request_that_is_not_changed_stays_as_it_was(
    path: str, query: list[tuple[str, str]], headers: dict[str, str]
) -> None:
    raw = RawRequest("GET", path, query, headers)
    passed = passed_request(raw, scope_of(raw))
    assert (passed.method, passed.path) == ("GET", path)
    assert Query.from_raw(passed.query)._values == Query.from_raw(query)._values
    assert dict(passed.headers) == {**headers, "x-request-id": "the-id"}


@given(path=PATHS)
def test_a_path_that_is_changed_means_what_the_middleware_wrote(path: str) -> None:
    raw = RawRequest("GET", "/before")
    scope = scope_of(raw) | {"path": scope_of(RawRequest("GET", path))["path"]}
    assert scope_of(passed_request(raw, scope))["path"] == scope["path"]


def test_the_length_of_the_body_as_it_was_sent_is_forgotten() -> None:
    raw = RawRequest("POST", "/x", headers={"content-length": "3", "transfer-encoding": "chunked", "x-a": "1"})
    assert set(passed_request(raw, scope_of(raw)).headers) == {"x-a", "x-request-id"}


def test_lines_of_one_header_are_joined() -> None:
    scope = scope_of(RawRequest("GET", "/x")) | {"headers": [(b"X-A", b"1"), (b"x-a", b"\xe9")]}
    assert passed_request(RawRequest("GET", "/x"), scope).headers == {"x-a": "1,é"}


async def test_a_body_in_parts_is_joined_and_one_that_breaks_off_is_refused() -> None:
    messages = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.request", "body": b"b"},
        {"type": "http.request", "body": b"c", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    assert await passed_body(receive) == b"ab"
    with pytest.raises(BadRequest):
        await passed_body(receive)
