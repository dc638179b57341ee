"""A server asks its instances for their health over HTTP, and gives no jobs to one that does not answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import pytest
from databases import fresh_database
from remote.pausable_server import PausableServer
from servers.live_server import LiveServer, live_server, until

from .registry_api import INSTANCES, problem, register


class Bot(PausableServer):
    """Answers with `status`."""

    status = 204

    def __init__(self) -> None:
        self.cookies: list[str] = []
        super().__init__()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        bot = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                bot.asked += 1
                bot.cookies += self.headers.get_all("cookie", [])
                bot.released.wait()
                self.send_response(bot.status)
                self.send_header("set-cookie", "visitor=1; Path=/")
                self.send_header("location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@pytest.fixture
def bot() -> Iterator[Bot]:
    bot = Bot()
    yield bot
    bot.close()


@pytest.fixture(scope="module")
async def checking(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    """It checks each second. The proxy of its environment, which nobody may use to get around the policy, is off."""
    settings = {"AGENTHALL_HEALTH_CHECK": "1", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as server:
        yield server


@pytest.fixture
async def client(checking: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with checking.http(**{"X-Organization-Id": "00000000-0000-0000-0000-000000000001"}) as client:
        yield client


async def serve(client: httpx.AsyncClient, agent: str, url: str, instance_id: str = "c1") -> str:
    made = await register(client, agent, instance_id, connection_details={"health_check_url": url}, slots=1)
    return str(made["registration_id"])


async def history(client: httpx.AsyncClient, registration_id: str) -> Any:
    answer = await client.get(f"{INSTANCES}/{registration_id}/history")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def until_history(client: httpx.AsyncClient, registration_id: str, state: str, error: str | None) -> Any:
    async def is_so() -> Any:
        found = await history(client, registration_id)
        check = found["health_check"]
        return found if (found["breaker"]["state"], check["error"]) == (state, error) and check["checked_at"] else None

    return await until(is_so)


async def test_an_instance_that_fails_its_checks_gets_no_jobs_until_one_passes(
    client: httpx.AsyncClient, bot: Bot
) -> None:
    instance = await serve(client, "checked-bot", f"{bot.url}/health")
    await until_history(client, instance, "closed", None)
    bot.status = 503
    found = await until_history(client, instance, "open", "HTTP 503")
    assert found["health_check"]["failures"] >= 3 and found["breaker"]["reason"] == "health check: HTTP 503"
    assert found["events"][0]["kind"] == "breaker_opened"
    bot.status = 200
    found = await until_history(client, instance, "half_open", None)
    assert found["health_check"]["failures"] == 0 and bot.cookies == []


async def test_a_redirect_is_not_followed(client: httpx.AsyncClient, bot: Bot) -> None:
    bot.status = 302
    instance = await serve(client, "moved-bot", bot.url)
    await until_history(client, instance, "open", "HTTP 302")


async def test_many_that_do_not_answer_delay_no_other(client: httpx.AsyncClient, bot: Bot) -> None:
    hanging = Bot()
    hanging.hang()
    slow, *_ = [await serve(client, "hanging-bot", hanging.url, f"c{n}") for n in range(150)]
    await until(lambda: hanging.asked >= 150)
    try:
        await until_history(client, await serve(client, "quick-bot", bot.url), "closed", None)
        await until_history(client, slow, "open", "no answer within 5 s")
    finally:
        hanging.close()


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]/"])
async def test_the_egress_policy_decides_where_a_check_goes(client: httpx.AsyncClient, url: str) -> None:
    instance = await serve(client, f"spy-{len(url)}", url)
    refusal = "the policy of this server does not allow the address of its url (AGENTHALL_EGRESS)"
    await until_history(client, instance, "open", refusal)


async def test_nobody_listens(client: httpx.AsyncClient) -> None:
    gone = Bot()
    gone.close()
    await until_history(client, await serve(client, "gone-bot", gone.url), "open", "All connection attempts failed")


async def test_a_url_that_is_none_is_refused(client: httpx.AsyncClient) -> None:
    for url in ("/health", "ftp://bot.example", 5, "http://ada:secret@bot.example"):
        body = {"agent_id": "a-bot", "instance_id": "i1", "connection_details": {"health_check_url": url}}
        answer = await client.post(INSTANCES, json=body)
        assert problem(answer) == (422, "invalid", "connection_details"), answer.text
        assert "health_check_url" in answer.json()["detail"] and "secret" not in answer.text
