from __future__ import annotations

import orjson
import pytest

from robyn_server.core import errors
from robyn_server.core.http_status import STATUSES
from robyn_server.web.http.problems import internal_error, problem


def _descendants(kind: type[errors.AgenthallError]) -> set[type[errors.AgenthallError]]:
    return {kind}.union(*(_descendants(child) for child in kind.__subclasses__()))


def test_every_error_of_the_core_but_the_base_has_an_answer() -> None:
    for kind in _descendants(errors.AgenthallError) - {errors.AgenthallError}:
        if kind.__module__.startswith("robyn_server.sockets"):
            continue  # told over WebSockets, never over HTTP
        assert any(ancestor in STATUSES for ancestor in kind.__mro__), kind


@pytest.mark.parametrize(
    ("error", "status", "header"),
    [
        (errors.NotFound("Thread not found"), 404, None),
        (errors.Unauthenticated("no token"), 401, ("www-authenticate", "Bearer")),
        (errors.CatalogueUnavailable("gone"), 503, ("retry-after", "1")),
        (errors.AgenthallError("odd"), 500, None),
    ],
)
def test_an_error_is_answered_by_its_nearest_ancestor(
    error: errors.AgenthallError, status: int, header: tuple[str, str] | None
) -> None:
    response = problem(error, "r1")
    assert response.status == status
    assert header is None or header in response.headers


def test_a_problem_has_a_detail_that_is_a_string_and_a_stable_code() -> None:
    body = orjson.loads(problem(errors.Invalid("limit: too large", field="limit"), "r1").body)
    assert body == {
        "type": "about:blank",
        "title": body["title"],
        "status": 422,
        "detail": "limit: too large",
        "code": "invalid",
        "field": "limit",
        "request_id": "r1",
    }


async def test_the_langgraph_sdk_shows_our_detail() -> None:
    httpx = pytest.importorskip("httpx")
    sdk = pytest.importorskip("langgraph_sdk.errors")
    ours = problem(errors.Conflict("Thread is already running a task."), "r1")
    response = httpx.Response(
        ours.status,
        content=ours.body,
        headers={"content-type": ours.media_type},
        request=httpx.Request("GET", "http://x"),
    )
    with pytest.raises(sdk.ConflictError, match=r"Thread is already running a task\."):
        await sdk._araise_for_status_typed(response)


def test_a_stranger_is_told_nothing() -> None:
    assert orjson.loads(internal_error("r1").body)["detail"] == "Internal Server Error"
