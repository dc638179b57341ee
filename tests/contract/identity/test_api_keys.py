"""API keys on a whole server: the real SDK, two tenants, tokens beside keys, revocation while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from databases import prepared_database
from deadlines import DEADLINE
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import AuthenticationError, PermissionDeniedError
from network.sse_client import problem_detail
from remote.jwks_server import AUDIENCE, JwksServer, SigningPair, jwks_server
from servers.live_server import LiveServer, live_server, until
from users.demo_users import HARBOUR, MEADOW, SECRET, bearer, token

PAIR = SigningPair("RS256", "first")
MEMBERS = f"""
create table public.members (user_id text primary key, organization_id uuid);
insert into public.members values ('ada', '{HARBOUR}'), ('mia', '{MEADOW}');
"""


@pytest.fixture(scope="module")
async def issuer() -> AsyncIterator[JwksServer]:
    async with jwks_server(PAIR) as server:
        yield server


@pytest.fixture(scope="module")
async def server(postgres: str, template: str, issuer: JwksServer) -> AsyncIterator[LiveServer]:
    """AUTH_MODE=jwt with all there is: a secret, a key set, a membership query; and keys."""
    settings = {
        "AUTH_MODE": "jwt",
        "AUTH_JWT_SECRET": SECRET,
        "AUTH_JWKS_URL": issuer.url,
        "AUTH_JWT_AUDIENCE": AUDIENCE,
        "AUTH_MEMBERSHIP_QUERY": "select organization_id from public.members where user_id = $1",
    }
    async with (
        prepared_database(postgres, template, MEMBERS) as url,
        live_server(url, **settings) as running,
    ):
        yield running


@pytest.fixture(scope="module")
async def root(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http(**bearer("root", permissions=("admin",), aud=AUDIENCE)) as client:
        yield client


class Keys:
    """Makes keys as an administrator does."""

    def __init__(self, server: LiveServer, root: httpx.AsyncClient) -> None:
        self._server, self._root = server, root

    async def make(self, *organizations: str, **request: Any) -> dict[str, Any]:
        answer = await self._root.post("/keys", json={"organizations": list(organizations), **request})
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return dict(answer.json())

    async def sdk(self, *organizations: str, **request: Any) -> LangGraphClient:
        """The real SDK, given the key as its users give it."""
        made = await self.make(*(organizations or (HARBOUR,)), **request)
        return get_client(url=self._server.url, api_key=made["key"], timeout=httpx.Timeout(DEADLINE))


@pytest.fixture(scope="module")
def keys(server: LiveServer, root: httpx.AsyncClient) -> Keys:
    return Keys(server, root)


async def code_of(client: httpx.AsyncClient, path: str = "/threads/search") -> tuple[int, str | None]:
    answer = await client.post(path, json={})
    return answer.status_code, answer.json()["code"] if answer.status_code >= 400 else None


async def test_the_sdk_works_with_a_key_and_two_tenants_do_not_meet(keys: Keys) -> None:
    harbour, meadow = await keys.sdk(HARBOUR), await keys.sdk(MEADOW)
    assert await harbour.runs.wait(None, "echo", input={"text": 1}) == {"text": 1}
    mine = (await harbour.threads.create())["thread_id"]
    theirs = (await meadow.threads.create())["thread_id"]
    assert [each["thread_id"] for each in await harbour.threads.search()] == [mine]
    assert [each["thread_id"] for each in await meadow.threads.search()] == [theirs]
    with pytest.raises(httpx.HTTPStatusError) as caught:
        await harbour.threads.get(theirs)
    assert caught.value.response.status_code == 404


async def test_a_run_of_a_key_is_run_as_the_key(keys: Keys) -> None:
    bot = await keys.sdk(HARBOUR, identity="the bot")
    thread = (await bot.threads.create())["thread_id"]
    seen: Any = await bot.runs.wait(thread, "context", input={})
    assert seen["seen"]["configurable"]["user_id"] == "the bot"


async def test_a_key_works_in_both_headers_and_beside_tokens(server: LiveServer, keys: Keys) -> None:
    key = (await keys.make(HARBOUR))["key"]
    for headers in (
        {"x-api-key": key},
        {"authorization": f"Bearer {key}"},
        {"authorization": f"Bearer {key}", "x-api-key": key},
        {"authorization": f"Bearer {token('ada', aud=AUDIENCE)}"},
        {"authorization": f"Bearer {PAIR.token('mia')}"},
        {"authorization": f"Bearer {PAIR.token('mia')}", "x-api-key": "lsv2_pt_of_the_surroundings"},
    ):
        async with server.http(**headers) as client:
            assert await code_of(client) == (200, None)
    async with server.http(**{"x-api-key": key, "authorization": f"Bearer {PAIR.token('mia')}"}) as client:
        assert await code_of(client) == (400, "credentials_contradict")


async def test_organizations_of_a_token_come_from_the_query_and_not_from_its_claims(server: LiveServer) -> None:
    for one, own, foreign in (("ada", HARBOUR, MEADOW), ("mia", MEADOW, HARBOUR), ("nobody", None, HARBOUR)):
        claims = {"organizations": [HARBOUR, MEADOW], "aud": AUDIENCE}
        async with server.http(authorization=f"Bearer {PAIR.token(one, **claims)}") as client:
            refused = await client.post("/threads", json={}, headers={"x-organization-id": foreign})
            assert refused.status_code == 403
            if own is not None:
                assert (await client.post("/threads", json={}, headers={"x-organization-id": own})).status_code == 200


async def test_a_key_that_is_revoked_while_it_works_is_refused_within_seconds(
    server: LiveServer, keys: Keys, root: httpx.AsyncClient
) -> None:
    made = await keys.make(HARBOUR)
    async with server.http(**{"x-api-key": made["key"]}) as client:
        assert await code_of(client) == (200, None)
        assert (await root.delete(f"/keys/{made['prefix']}")).status_code == 204

        async def refused() -> bool:
            return await code_of(client) == (401, "key_revoked")

        await until(refused)
        answer = await client.get("/assistants/echo")
        assert answer.headers["www-authenticate"] == "Bearer" and problem_detail(answer) == "The API key was revoked."
    sdk = get_client(url=server.url, api_key=made["key"])
    with pytest.raises(AuthenticationError, match="revoked"):
        await sdk.threads.search()


async def test_a_key_expires_while_it_works(server: LiveServer, keys: Keys) -> None:
    made = await keys.make(HARBOUR, expires_in=1)
    async with server.http(**{"x-api-key": made["key"]}) as client:

        async def refused() -> bool:
            return await code_of(client) == (401, "key_expired")

        await until(refused)


async def test_a_limited_key_may_what_its_scopes_say_and_nothing_else(server: LiveServer, keys: Keys) -> None:
    reader = await keys.sdk(HARBOUR, scopes=["threads:read", "assistants:read"])
    assert await reader.threads.search() == []
    assert await reader.assistants.search()
    with pytest.raises(PermissionDeniedError, match="threads:write"):
        await reader.threads.create()
    with pytest.raises(httpx.HTTPStatusError) as caught:
        await reader.runs.wait(None, "echo", input={})
    assert caught.value.response.status_code == 403
    made = await keys.make(HARBOUR, scopes=["agents:register"], kind="instance")
    async with server.http(**{"x-api-key": made["key"]}) as instance:
        for method, path in (
            ("POST", "/threads"),
            ("POST", "/threads/search"),
            ("GET", f"/threads/{uuid4()}"),
            ("POST", "/assistants"),
            ("GET", f"/assistants/{uuid4()}"),
            ("POST", "/runs/wait"),
            ("POST", "/runs/stream"),
            ("GET", f"/threads/{uuid4()}/runs"),
            ("PUT", "/store/items"),
            ("GET", "/agents/sync"),
            ("GET", "/metrics"),
            ("GET", "/keys"),
            ("POST", "/keys"),
            ("DELETE", f"/keys/{made['prefix']}"),
        ):
            answer = await instance.request(method, path, json={"assistant_id": "echo", "graph_id": "echo"})
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), path
        assert (await instance.get("/ok")).status_code == 200


async def test_a_key_without_scopes_is_a_member_and_no_administrator(server: LiveServer, keys: Keys) -> None:
    made = await keys.make(HARBOUR)
    async with server.http(**{"x-api-key": made["key"]}) as client:
        for method, path in (("GET", "/keys"), ("POST", "/keys"), ("GET", "/agents/sync"), ("GET", "/metrics")):
            assert (await client.request(method, path, json={})).status_code == 403, path
    admin = await keys.make(scopes=["admin"])
    async with server.http(**{"x-api-key": admin["key"]}) as client:
        assert (await client.get("/keys")).status_code == 200


async def test_a_key_that_is_bound_to_agents_writes_no_other_agent(server: LiveServer, keys: Keys) -> None:
    made = await keys.make(HARBOUR, agents=["my-bot"], scopes=["agents:register", "agents:read"])
    other = (await keys.make(HARBOUR))["key"]
    assert made["agents"] == ["my-bot"]
    async with server.http(**{"x-api-key": made["key"]}) as bot, server.http(**{"x-api-key": other}) as free:
        own = await bot.post("/agents/instances", json={"agent_id": "my-bot", "instance_id": "1"})
        foreign = await free.post("/agents/instances", json={"agent_id": "ide", "instance_id": "1"})
        assert (own.status_code, foreign.status_code) == (201, 201)
        path = f"/agents/instances/{foreign.json()['registration_id']}"
        for method, where, body in (
            ("POST", "/agents/instances", {"agent_id": "ide", "instance_id": "2"}),
            ("POST", f"{path}/heartbeat", {"epoch": 1}),
            ("POST", f"{path}/drain", {"epoch": 1}),
            ("PATCH", path, {"epoch": 1, "zone": "x"}),
            ("DELETE", path, {"epoch": 1}),
        ):
            answer = await bot.request(method, where, json=body)
            assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (
                403,
                "agent_not_allowed",
                "agent_id",
            ), where
            assert "'ide'" in answer.json()["detail"]
        assert (await bot.get(path)).json()["registration_status"] == "active", "it reads as its scopes say"
        own_path = f"/agents/instances/{own.json()['registration_id']}"
        assert (await bot.post(f"{own_path}/heartbeat", json={"epoch": 1})).status_code == 200


async def test_a_rotated_key_has_two_secrets_until_the_overlap_ends(
    server: LiveServer, keys: Keys, root: httpx.AsyncClient
) -> None:
    made = await keys.make(HARBOUR, expires_in=3600)
    answer = await root.post(f"/keys/{made['prefix']}/rotate", json={"overlap": 600})
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    rotated = answer.json()
    assert rotated["prefix"] == made["prefix"] and rotated["key"] != made["key"]
    assert (rotated["expires_at"], rotated["identity"]) == (made["expires_at"], made["identity"])
    async with (
        server.http(**{"x-api-key": made["key"]}) as old,
        server.http(**{"x-api-key": rotated["key"]}) as new,
    ):
        thread = (await old.post("/threads", json={})).json()["thread_id"]
        await until(lambda: _may_read(new, thread))
        again = (await root.post(f"/keys/{made['prefix']}/rotate", json={"overlap": 0})).json()

        async def are_refused() -> bool:
            return [await code_of(old), await code_of(new)] == [(401, "key_invalid"), (401, "key_rotated")]

        await until(are_refused)
    async with server.http(**{"x-api-key": again["key"]}) as newest:
        assert await _may_read(newest, thread), "the identity stays"


async def _may_read(client: httpx.AsyncClient, thread: str) -> bool:
    return (await client.get(f"/threads/{thread}")).status_code == 200


async def test_a_key_that_is_not_active_is_not_rotated(keys: Keys, root: httpx.AsyncClient) -> None:
    made = await keys.make(HARBOUR)
    await root.delete(f"/keys/{made['prefix']}")
    for prefix, status, code in ((made["prefix"], 409, "key_not_active"), ("a" * 10, 404, "not_found")):
        answer = await root.post(f"/keys/{prefix}/rotate", json={})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    for overlap in (-1, 91 * 86400, "1d"):
        answer = await root.post(f"/keys/{made['prefix']}/rotate", json={"overlap": overlap})
        assert (answer.status_code, answer.json()["field"]) == (422, "overlap")


async def test_a_key_that_is_bound_to_assistants_runs_no_other(server: LiveServer, keys: Keys) -> None:
    """Beside a user with the same identity, whose threads it may use."""
    user = f"user-{uuid4()}"
    async with server.http(**bearer(user, aud=AUDIENCE)) as owner:
        own = (await owner.post("/assistants", json={"graph_id": "echo"})).json()["assistant_id"]
        other = (await owner.post("/assistants", json={"graph_id": "approval"})).json()["assistant_id"]
        thread = (await owner.post("/threads", json={})).json()["thread_id"]
        await owner.post(f"/threads/{thread}/runs/wait", json={"assistant_id": other, "input": {}})
        made = await keys.make(HARBOUR, identity=user, assistants=[own])
        assert made["assistants"] == [own]
        async with server.http(**{"x-api-key": made["key"]}) as bound:
            resumed = {"assistant_id": other, "command": {"resume": "yes"}}
            for method, path, body in (
                *(
                    ("POST", f"/runs{how}", {"assistant_id": each})
                    for how in _WAYS
                    for each in (other, "approval", "echo")
                ),
                *(("POST", f"/threads/{thread}/runs{how}", {"assistant_id": other}) for how in _WAYS),
                ("POST", f"/threads/{thread}/runs/wait", resumed),
                ("POST", f"/threads/{uuid4()}/runs", {"assistant_id": other, "if_not_exists": "create"}),
                ("POST", "/runs/batch", [{"assistant_id": own}, {"assistant_id": other}]),
                ("POST", "/assistants", {"graph_id": "approval"}),
                ("POST", "/assistants", {"graph_id": "approval", "assistant_id": str(uuid4())}),
                ("PATCH", f"/assistants/{own}", {"graph_id": "approval"}),
                ("POST", f"/assistants/{own}/latest", {"version": 1}),
                ("DELETE", f"/assistants/{own}", None),
            ):
                answer = await bound.request(method, path, json=body)
                refusal = (answer.status_code, answer.json()["code"], answer.json()["field"])
                assert refusal == (403, "assistant_not_allowed", "assistant_id"), (path, body)
            ran = await bound.post("/runs/wait", json={"assistant_id": own, "input": {"text": 1}})
            assert ran.json() == {"text": 1}
            assert (await bound.get(f"/assistants/{other}")).status_code == 200, "it reads as its scopes say"
        assert len((await owner.get(f"/threads/{thread}/runs")).json()) == 1


_WAYS = ("", "/wait", "/stream")


async def test_keys_are_listed_without_their_secrets(keys: Keys, root: httpx.AsyncClient) -> None:
    organization = str(uuid4())
    made = await keys.make(organization, name="the bot", scopes=["runs"], expires_in=3600)
    answer = await root.get("/keys", params={"organization_id": organization})
    assert answer.headers["x-pagination-total"] == "1"
    (listed,) = answer.json()
    assert made.pop("key").startswith(f"ahk_{listed['prefix']}_")
    assert listed == made
    assert (listed["name"], listed["status"], listed["created_by"]) == ("the bot", "active", "root")
    assert listed["organizations"] == [organization] and listed["scopes"] == ["runs"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "organizations"),
        ({"organizations": ["x"]}, "organization ID"),
        ({"organizations": [HARBOUR], "scope": ["runs"]}, "scope"),
        ({"organizations": [HARBOUR], "scopes": ["everything"]}, "scopes"),
        ({"organizations": [HARBOUR], "scopes": []}, "scopes"),
        ({"organizations": [HARBOUR], "expires_in": 0}, "expires_in"),
        ({"organizations": [HARBOUR], "kind": "user"}, "kind"),
        ({"organizations": [HARBOUR], "identity": "system"}, "identity"),
        ({"organizations": [HARBOUR], "agents": []}, "agents"),
        ({"organizations": [HARBOUR], "agents": "my-bot"}, "agents"),
        ({"organizations": [HARBOUR], "agents": [" spaced "]}, "agents"),
        ({"organizations": [HARBOUR], "agents": [HARBOUR]}, "agents"),
        ({"organizations": [HARBOUR], "agents": ["a"], "scopes": ["admin"]}, "agents"),
        ({"organizations": [HARBOUR], "assistants": []}, "assistants"),
        ({"organizations": [HARBOUR], "assistants": ["echo"]}, "assistant ID"),
        ({"organizations": [HARBOUR], "assistants": [str(uuid4()) for _ in range(65)]}, "assistants"),
        ({"organizations": [HARBOUR], "assistants": [HARBOUR], "scopes": ["admin"]}, "assistants"),
    ],
)
async def test_a_key_that_makes_no_sense_is_422(root: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    answer = await root.post("/keys", json=body)
    assert (answer.status_code, answer.json().get("field")) == (422, field), answer.text


@pytest.mark.parametrize("prefix", ["aaaaaaaaaa", "nonsense"])
async def test_an_unknown_key_cannot_be_revoked(root: httpx.AsyncClient, prefix: str) -> None:
    assert (await root.delete(f"/keys/{prefix}")).status_code == 404


async def test_while_nobody_can_say_who_belongs_where_the_answer_is_503(server: LiveServer) -> None:
    connection = await asyncpg.connect(server.database)
    await connection.execute("alter table public.members rename to elsewhere")
    try:
        async with server.http(authorization=f"Bearer {PAIR.token('somebody new')}") as client:
            assert await code_of(client) == (503, "membership_unavailable")
    finally:
        await connection.execute("alter table public.elsewhere rename to members")
        await connection.close()
