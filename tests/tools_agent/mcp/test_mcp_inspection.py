"""Servers are asked live, each with a deadline of its own, and the answer tells reachable ones from others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from pydantic import SecretStr
from remote.raw_mcp import Raw, RawMcp, tool

from tools_agent.configuration import MCPServerConfig
from tools_agent.credentials import Credentials, MissingCredential, ServerCredential
from tools_agent.limits import Limits, current_limits, set_limits
from tools_agent.tools.mcp_inspection import CREDENTIAL_MISSING, NOT_ASKED, InspectedServer, inspect

SECRET = "token-5e1f-of-ada"
NONE: Credentials = {}


@pytest.fixture
def mcp() -> Iterator[RawMcp]:
    running = RawMcp(tools=[tool("echo", description="Say it."), tool("add")])
    yield running
    running.close()


@pytest.fixture
def hanging() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as held:
        yield f"http://127.0.0.1:{held.getsockname()[1]}/mcp"


@pytest.fixture
def short() -> Iterator[None]:
    before = current_limits()
    set_limits(Limits(connect=0.5))
    yield
    set_limits(before)


def unused_url() -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as held:
        return f"http://127.0.0.1:{held.getsockname()[1]}/mcp"


async def ask(*servers: MCPServerConfig, credentials: Credentials = NONE, seconds: float = 60) -> list[InspectedServer]:
    return await inspect(servers, credentials, "ada", seconds)


async def test_a_server_that_answers_is_reachable_with_the_tools_that_the_agent_may_use(mcp: RawMcp) -> None:
    [every, allowed] = await ask(
        MCPServerConfig(name="calc", url=mcp.url), MCPServerConfig(name="calc", url=mcp.url, tools=["add", "sub"])
    )
    assert (every.status, every.error, [each.name for each in every.tools]) == ("reachable", None, ["echo", "add"])
    assert every.tools[0].description == "Say it." and 0 < every.seconds < 60
    assert (allowed.name, [each.name for each in allowed.tools]) == ("calc-2", ["add"])
    assert (allowed.status, allowed.error) == ("reachable", "sub: the server does not list it")


async def test_a_server_that_hangs_and_one_that_is_away_hold_up_no_other(
    mcp: RawMcp, hanging: str, short: None
) -> None:
    slow, away, good = await ask(*(MCPServerConfig(url=each) for each in (hanging, unused_url(), mcp.url)))
    assert (slow.status, slow.error) == ("unreachable", "it did not answer within 0.5 s")
    assert away.status == "unreachable" and (away.error or "").startswith("no connection")
    assert (good.status, len(good.tools)) == ("reachable", 2)
    assert good.seconds < slow.seconds


async def test_the_answer_does_not_wait_longer_than_it_may(hanging: str) -> None:
    [late] = await ask(MCPServerConfig(url=hanging), seconds=0.2)
    assert (late.status, late.error) == ("unreachable", NOT_ASKED)


@pytest.mark.parametrize(("status", "shown"), [(401, "auth_required"), (403, "refused"), (500, "unreachable")])
async def test_the_status_of_an_http_answer_says_what_is_wrong(mcp: RawMcp, status: int, shown: str) -> None:
    mcp.initialized = Raw(b"no", status=status)
    [found] = await ask(MCPServerConfig(url=mcp.url))
    assert found.status == shown and found.error


async def test_a_server_whose_credential_is_missing_is_not_asked() -> None:
    missing = "http://127.0.0.1:9/mcp?missing"
    [required, refused] = await ask(
        MCPServerConfig(url="http://127.0.0.1:9/mcp", auth_required=True),
        MCPServerConfig(url=missing),
        credentials={missing: MissingCredential("the user has not connected it")},
    )
    assert (required.status, required.error) == ("auth_required", CREDENTIAL_MISSING)
    assert (refused.status, refused.error) == ("auth_required", "the user has not connected it")


async def test_a_reason_does_not_repeat_the_credential_that_the_server_was_sent(mcp: RawMcp) -> None:
    told = f'{{"jsonrpc": "2.0", "id": {{id}}, "error": {{"code": -1, "message": "bad Bearer {SECRET}; {SECRET}"}}}}'
    mcp.tools = Raw(told.encode())
    [found] = await ask(
        MCPServerConfig(url=mcp.url), credentials={mcp.url: ServerCredential(SecretStr(f"Bearer {SECRET}"))}
    )
    assert found.status == "unreachable" and "[secret]" in (found.error or "") and SECRET not in repr(found)


async def test_an_address_that_is_no_http_url_is_unreachable() -> None:
    [found] = await ask(MCPServerConfig(url="stdio:rm"))
    assert (found.status, found.error) == ("unreachable", "its address is not an http:// or https:// URL")


async def test_no_session_stays_open(mcp: RawMcp) -> None:
    await ask(MCPServerConfig(url=mcp.url))
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "mcp-session"] == []
