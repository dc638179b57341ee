"""A user's connection to an MCP server in a whole server: interrupt, browser, callback, resumed run, tool answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import httpx
import pytest
from catalogues.catalogue_writer import TABLES, CatalogueWriter
from commands.command_line import agenthall
from databases import fresh_database
from remote.authorization_server import AuthorizationServer, authorization_server
from remote.guarded_mcp import GuardedMcp, digest
from remote.otlp_receiver import OtlpReceiver
from secret_search import search_everything, shown
from servers.live_server import LiveServer, free_port, live_server
from users.demo_users import HARBOUR, MEADOW, SECRET

from contract.conftest import UserClient, UserClientFactory
from robyn_server.credentials.key_ring import new_key

KEY = new_key()
ASK = {"messages": [{"role": "user", "content": "use the tool fingerprint {}"}]}
MODES: Any = ["values", "messages-tuple", "updates", "debug", "events"]


@pytest.fixture(scope="module")
def issuer() -> Iterator[AuthorizationServer]:
    with authorization_server(SECRET) as running:
        yield running


@pytest.fixture(scope="module")
def vault(issuer: AuthorizationServer) -> Iterator[GuardedMcp]:
    running = GuardedMcp(issuer)
    yield running
    running.close()


@pytest.fixture(scope="module")
async def product_server(
    postgres: str, template: str, vault: GuardedMcp, traced: dict[str, str]
) -> AsyncIterator[LiveServer]:
    async with fresh_database(postgres, template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        await connection.close()
        done = agenthall("credentials", "put", vault.url, "--connect", DATABASE_URL=url, AGENTHALL_SECRET_KEY=KEY)
        assert done.returncode == 0, done.stderr
        settings = {
            "AUTH_MODE": "jwt",
            "AUTH_JWT_SECRET": SECRET,
            "AGENT_SYNC_SCOPE": "all",
            "AGENTHALL_SECRET_KEY": KEY,
            "AGENTHALL_MCP_CONNECT_TIMEOUT": "60",
        }
        async with live_server(url, **settings, **traced) as running:
            yield running


class Conversation:
    """A thread of a user. `told`: all that the client was told."""

    def __init__(self, user: UserClient, agent_id: str, thread: str, told: list[str]) -> None:
        self.user, self.agent_id, self.thread, self.told = user, agent_id, thread, told

    async def run(self, **given: Any) -> dict[str, Any]:
        """The last values of a run."""
        values: dict[str, Any] = {}
        async for part in self.user.sdk.runs.stream(self.thread, self.agent_id, stream_mode=MODES, **given):
            self.told.append(shown(part))
            if part.event == "values":
                values = part.data
        [run, *_] = await self.user.sdk.runs.list(self.thread)
        self.told += [repr(run), repr(await self.user.sdk.threads.get_state(self.thread))]
        assert run["status"] in ("success", "interrupted"), run
        return values

    async def authorization_url(self) -> str:
        """Start a run, which is interrupted."""
        await self.run(input=ASK)
        thread = await self.user.sdk.threads.get(self.thread)
        assert thread["status"] == "interrupted"
        [[asked]] = thread["interrupts"].values()
        assert asked["value"]["kind"] == "mcp_connection_required"
        [required] = asked["value"]["connections"]
        return str(required["authorization_url"])

    async def resume(self) -> str:
        """The tool's answer, or that of the model without the tool."""
        messages = (await self.run(command={"resume": True}))["messages"]
        return str(next((m["content"] for m in reversed(messages) if m["type"] == "tool"), messages[-1]["content"]))


@pytest.fixture
async def converse(catalogue_writer: CatalogueWriter, vault: GuardedMcp) -> Any:
    agent_id = await catalogue_writer.add_agent(organization_id=HARBOUR)
    await catalogue_writer.add_tool(UUID(agent_id), vault.url, "fingerprint", auth_required=True)

    async def begin(user: UserClient, told: list[str]) -> Conversation:
        return Conversation(user, agent_id, (await user.sdk.threads.create())["thread_id"], told)

    return begin


async def open_in_browser(url: str) -> httpx.Response:
    """Follow the redirects as the user's browser does: to the authorization server, and back."""
    async with httpx.AsyncClient(follow_redirects=True, timeout=60) as browser:
        return await browser.get(url)


async def test_a_user_connects_in_the_middle_of_a_run_and_no_secret_is_anywhere(
    product_server: LiveServer,
    user: UserClientFactory,
    converse: Any,
    issuer: AuthorizationServer,
    vault: GuardedMcp,
    receiver: OtlpReceiver,
) -> None:
    ada, told = user("ada", HARBOUR), list[str]()
    conversation = await converse(ada, told)
    page = await open_in_browser(await conversation.authorization_url())
    assert page.status_code == 200 and "ada is now connected" in page.text and issuer.refusals == []
    access = next(each for each in reversed(issuer.secrets) if each.count(".") == 2)
    assert digest(f"Bearer {access}") in await conversation.resume()
    again = await converse(ada, told)
    assert digest(f"Bearer {access}") in (await again.run(input=ASK))["messages"][2]["content"], "without a question"
    [listed] = (await ada.http.get("/connections")).json()
    assert listed["url"] == vault.url and listed["scope"] == "tools"
    await receiver.wait_for(name="execute_tool fingerprint")
    found = await search_everything(product_server, [*told, page.text, repr(listed)], receiver.texts())
    secrets = {*issuer.secrets, issuer.secret, KEY, SECRET}
    assert {secret[:24]: places for secret in secrets if (places := found.places_of(secret))} == {}
    assert vault.url in found.places["table agenthall.mcp_connections"]
    assert "fingerprint" in found.places["streamed"] and "fingerprint" in found.places["traces"]


async def test_another_user_has_another_connection_or_none(
    user: UserClientFactory, converse: Any, issuer: AuthorizationServer
) -> None:
    bo = user("bo", HARBOUR)
    conversation = await converse(bo, [])
    assert "mcp" in await conversation.authorization_url()
    assert (await bo.http.get("/connections")).json() == []
    assert "the user has not connected it" in await conversation.resume()


async def test_an_answer_is_taken_once_and_from_its_user_alone(
    product_server: LiveServer, user: UserClientFactory, converse: Any, issuer: AuthorizationServer
) -> None:
    eve, mallory = user("eve", HARBOUR), user("mallory", HARBOUR)
    url = await (await converse(eve, [])).authorization_url()
    async with httpx.AsyncClient(timeout=60) as browser:
        callback = (await browser.get(url)).headers["location"]
        parameters = dict(httpx.QueryParams(urlsplit(callback).query))
        refused = await mallory.http.post("/connections/callback", json=parameters)
        assert (refused.status_code, refused.json()["code"]) == (403, "authorization_of_another")
        again = await browser.get(callback)
        assert (again.status_code, again.json()["code"]) == (400, "authorization_invalid")
        assert (await browser.get(f"{product_server.url}/connections/callback")).status_code == 400
    assert (await eve.http.get("/connections")).json() == []


async def test_a_deleted_connection_is_asked_for_again(
    user: UserClientFactory, converse: Any, issuer: AuthorizationServer
) -> None:
    dan = user("dan", HARBOUR)
    conversation = await converse(dan, [])
    await open_in_browser(await conversation.authorization_url())
    [listed] = (await dan.http.get("/connections")).json()
    mallory = user("mallory", HARBOUR)
    assert (await mallory.http.delete(f"/connections/{listed['connection_id']}")).status_code == 404
    before = issuer.counts.get("revoke", 0)
    assert (await dan.http.delete(f"/connections/{listed['connection_id']}")).status_code == 204
    assert issuer.counts["revoke"] == before + 2
    await (await converse(dan, [])).authorization_url()


async def test_a_user_connects_before_an_agent_asks(
    user: UserClientFactory, converse: Any, issuer: AuthorizationServer, vault: GuardedMcp
) -> None:
    fay = user("fay", HARBOUR)
    server = {"url": vault.url, "organization_id": HARBOUR, "is_connected": False}
    assert (await fay.http.get("/connections/servers")).json() == [server]
    begun = await fay.http.post("/connections", json={"url": vault.url})
    assert (begun.status_code, begun.headers["cache-control"], begun.json()["expires_in"]) == (200, "no-store", 600)
    page = await open_in_browser(begun.json()["authorization_url"])
    assert page.status_code == 200 and "fay is now connected" in page.text
    assert (await fay.http.get("/connections/servers")).json() == [server | {"is_connected": True}]
    answer = (await (await converse(fay, [])).run(input=ASK))["messages"][2]["content"]
    access = next(each for each in reversed(issuer.secrets) if each.count(".") == 2)
    assert digest(f"Bearer {access}") in answer, "without a question"


async def test_a_connection_is_of_the_organization_that_the_request_names(
    user: UserClientFactory, vault: GuardedMcp
) -> None:
    both = user("gus", HARBOUR, MEADOW)
    for request in (both.http.get("/connections/servers"), both.http.post("/connections", json={"url": vault.url})):
        refused = await request
        assert (refused.status_code, refused.json()["code"]) == (400, "organization_required")
    named = {"X-Organization-Id": MEADOW}
    begun = await both.http.post("/connections", json={"url": vault.url}, headers=named)
    await open_in_browser(begun.json()["authorization_url"])
    for organization, is_connected in ((HARBOUR, False), (MEADOW, True)):
        found = await both.http.get("/connections/servers", headers={"X-Organization-Id": organization})
        assert [each["is_connected"] for each in found.json()] == [is_connected]


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("https://absent.example/mcp", 404, "not_found"),
        ("ftp://vault.example/mcp", 422, "invalid"),
        ("https://user:secret@vault.example/mcp", 422, "invalid"),
        ("", 422, "invalid"),
    ],
)
async def test_a_server_without_an_entry_is_not_connected_to(
    user: UserClientFactory, issuer: AuthorizationServer, url: str, status: int, code: str
) -> None:
    before = dict(issuer.counts)
    refused = await user("ada", HARBOUR).http.post("/connections", json={"url": url})
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert status == 404 or refused.json()["field"] == "url"
    assert issuer.counts == before


async def test_a_server_that_cannot_be_connected_to_is_an_error_that_says_why(
    product_server: LiveServer, user: UserClientFactory
) -> None:
    url = f"http://127.0.0.1:{free_port()}/mcp"
    settings = {"DATABASE_URL": product_server.database, "AGENTHALL_SECRET_KEY": KEY}
    assert agenthall("credentials", "put", url, "--connect", **settings).returncode == 0
    try:
        refused = await user("ada", HARBOUR).http.post("/connections", json={"url": url})
        assert (refused.status_code, refused.json()["code"]) == (503, "not_connectable")
        assert "cannot be connected to now" in refused.json()["detail"]
    finally:
        assert agenthall("credentials", "delete", url, **settings).returncode == 0
