"""The result of an authenticate handler becomes a user, or lets nobody in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel

from robyn_server.core.access.grants import Condition
from robyn_server.core.access.users import User, run_auth, store_owner, user_of
from robyn_server.core.errors import Forbidden, Misconfigured, Refused, Unavailable
from robyn_server.identity.handlers.authentication import UserAuthentication
from robyn_server.identity.handlers.authorization import UserAuthorization
from robyn_server.identity.handlers.calls import HandlerCalls
from robyn_server.identity.handlers.loading import Handlers


@dataclass
class Wire:
    method: str = "POST"
    path: str = "/threads/a b"
    path_params: dict[str, str] = field(default_factory=lambda: {"thread_id": "a b"})
    query_params: dict[str, str] = field(default_factory=lambda: {"q": "1"})
    headers: dict[str, str] = field(default_factory=lambda: {"authorization": "Bearer x", "x-team": "räd"})
    body: bytes = b'{"input": 12345678901234567890123}'


@dataclass
class Record:
    identity: str
    team: str = "red"


class Model(BaseModel):
    identity: str
    team: str = "red"


class Object:
    team = "class"

    def __init__(self) -> None:
        self.identity = "ada"
        self.permissions = ("read",)
        self._hidden = 1


@pytest.fixture
async def calls() -> AsyncIterator[HandlerCalls]:
    made = HandlerCalls(0.3)
    made.start()
    yield made
    await made.stop()


async def authenticated(calls: HandlerCalls, result: Any) -> User:
    async def handler() -> Any:
        return result

    return await UserAuthentication(Handlers(handler, frozenset(), {}), calls).authenticate(Wire())


@pytest.mark.parametrize(
    ("result", "fields"),
    [
        ("ada", {"identity": "ada"}),
        ({"identity": "ada", "team": "red"}, {"identity": "ada", "team": "red"}),
        (Record("ada"), {"identity": "ada", "team": "red"}),
        (Model(identity="ada"), {"identity": "ada", "team": "red"}),
        (Object(), {"identity": "ada", "permissions": ["read"]}),
    ],
)
async def test_a_text_a_mapping_or_an_object_is_a_user(
    calls: HandlerCalls, result: Any, fields: dict[str, Any]
) -> None:
    user = await authenticated(calls, result)
    assert user.to_dict() == {"display_name": "ada", "is_authenticated": True, "permissions": [], **fields}


@pytest.mark.parametrize(
    "result",
    [
        None,
        True,
        7,
        "",
        "system",
        "agenthall:project",
        "*",
        {},
        {"identity": 7},
        {"identity": "x" * 256},
        {"identity": "a\0"},
        object(),
        {"identity": "a", "permissions": "read"},
        {"identity": "a", "permissions": [1]},
    ],
)
async def test_anything_else_lets_nobody_in(calls: HandlerCalls, result: Any) -> None:
    with pytest.raises(Misconfigured, match="auth handler failed"):
        await authenticated(calls, result)


async def test_a_handler_gets_what_it_asks_for(calls: HandlerCalls) -> None:
    seen: dict[str, Any] = {}

    async def handler(**given: Any) -> str:
        seen.update(given)
        request = given["request"]
        seen["of request"] = (request.method, request.url.path, request.headers["x-team"], await request.json())
        return "ada"

    names = frozenset(
        {"request", "scope", "body", "path", "method", "path_params", "query_params", "headers", "authorization"}
    )
    await UserAuthentication(Handlers(handler, names, {}), calls).authenticate(Wire())
    assert (seen["method"], seen["path"], seen["authorization"]) == ("POST", "/threads/a b", "Bearer x")
    assert (seen["path_params"], seen["query_params"]) == ({"thread_id": "a b"}, {"q": "1"})
    assert seen["headers"][b"authorization"] == b"Bearer x"
    assert seen["body"] == {"input": 12345678901234567890123}
    assert seen["of request"][:2] == ("POST", "/threads/a b")


async def test_a_handler_that_blocks_its_loop_does_not_block_the_servers(calls: HandlerCalls) -> None:
    async def handler() -> str:
        time.sleep(1)  # noqa: ASYNC251
        return "late"

    waiting = asyncio.create_task(calls.call(handler))
    beats = 0
    while not waiting.done():
        await asyncio.sleep(0.01)
        beats += 1
    assert beats >= 10
    with pytest.raises(Unavailable, match="did not answer"):
        await waiting


async def test_a_synchronous_handler_runs_in_a_thread_of_its_own(calls: HandlerCalls) -> None:
    def slow() -> str:
        time.sleep(1)
        return "late"

    def quick() -> str:
        return "quick"

    blocked = [asyncio.create_task(calls.call(slow)) for _ in range(3)]
    assert await calls.call(quick) == "quick"
    for task in blocked:
        with pytest.raises(Unavailable):
            await task


async def test_a_timeout_of_the_handlers_own_is_a_failure(calls: HandlerCalls) -> None:
    async def handler() -> None:
        raise TimeoutError("of its database")

    with pytest.raises(Misconfigured):
        await calls.call(handler)


@pytest.mark.parametrize("result", [0, 1, "yes", [], {"owner": {"$ne": 1}}])
async def test_a_result_that_is_no_decision_lets_nobody_in(calls: HandlerCalls, result: Any) -> None:
    async def handler(ctx: Any, value: Any) -> Any:
        return result

    rules = UserAuthorization(Handlers(handler, frozenset(), {("*", "*"): handler}), calls)
    with pytest.raises(Misconfigured):
        await rules.authorize(User({"identity": "ada"}), "threads", "read", {})


async def test_a_filter_for_the_store_is_refused(calls: HandlerCalls) -> None:
    async def handler(ctx: Any, value: Any) -> Any:
        return {"owner": ctx.user.identity}

    rules = UserAuthorization(Handlers(handler, frozenset(), {("*", "*"): handler}), calls)
    with pytest.raises(Misconfigured):
        await rules.authorize(User({"identity": "ada"}), "store", "get", {})


async def test_decisions(calls: HandlerCalls) -> None:
    results: list[Any] = [None, True, {}, {"a": 1}, False]

    async def handler(ctx: Any, value: Any) -> Any:
        assert (ctx.resource, ctx.action, ctx.permissions, ctx.user["identity"]) == ("threads", "read", [], "ada")
        value["seen"] = True
        return results.pop(0)

    user = User({"identity": "ada"})
    rules = UserAuthorization(Handlers(handler, frozenset(), {("threads", "read"): handler}), calls)
    assert [await rules.authorize(user, "threads", "read", {}) for _ in range(3)] == [(), (), ()]
    assert await rules.authorize(user, "threads", "read", {}) == (Condition('{"a":1}'),)
    with pytest.raises(Forbidden):
        await rules.authorize(user, "threads", "read", {})
    assert await rules.authorize(user, "threads", "update", {}) == (Condition(own="ada"),), (
        "without a handler: the own rows"
    )


async def test_an_http_exception_keeps_its_status_and_headers(calls: HandlerCalls) -> None:
    from langgraph_sdk import Auth

    async def handler() -> None:
        raise Auth.exceptions.HTTPException(status_code=429, detail="slow down", headers={"Retry-After": "9"})

    with pytest.raises(Refused, match="slow down") as refused:
        await calls.call(handler)
    assert (refused.value.status, refused.value.headers) == (429, (("Retry-After", "9"),))


def test_a_user_travels_with_a_run() -> None:
    user = User({"identity": "ada", "team": "red", "permissions": ["a"]})
    assert (user.team, user["team"], "team" in user, dict(user)["permissions"]) == ("red", "red", True, ["a"])
    assert not hasattr(user, "missing")
    assert "red" not in repr(user)
    import json

    stored = json.loads(run_auth(user, shares_store=True))
    assert user_of(stored) == user
    assert (store_owner(stored, "ada"), store_owner(None, "ada")) == ("agenthall:project", "ada")
    with pytest.raises(TypeError):
        run_auth(User({"identity": "ada", "handle": object()}), shares_store=False)
