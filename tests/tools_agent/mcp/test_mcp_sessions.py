"""The pool of sessions, against real servers."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import pytest
from deadlines import DEADLINE

from tools_agent.agent import close_sessions, graph
from tools_agent.configuration import MCPServerConfig
from tools_agent.credentials import ServerCredential
from tools_agent.limits import Limits, set_limits
from tools_agent.models.providers import ProviderRules
from tools_agent.tools.mcp import discover
from tools_agent.tools.mcp_access import ServerAccess, endpoint, server_access
from tools_agent.tools.mcp_pool import current_pool


async def tool(servers, name, credentials=None, user=""):
    offer = await discover(servers, credentials, user)
    assert not offer.notices
    return next(one for one in offer.offered(ProviderRules()).tools if one.name == name)


def text(result) -> str:
    return result if isinstance(result, str) else result[0]["text"]


async def whoami(server, token=None, user=""):
    config = MCPServerConfig(url=server.url, auth_required=token is not None)
    credentials = {server.url: ServerCredential.bearer(token)} if token else None
    found = await tool([config], "whoami", credentials, user)
    return json.loads(text(await found.ainvoke({})))


async def test_agents_with_equal_servers_share_a_session(shared_toolbox):
    assert (await whoami(shared_toolbox))["session"] == (await whoami(shared_toolbox))["session"]


async def test_different_credentials_never_share_a_session(shared_toolbox):
    users = [await whoami(shared_toolbox, token) for token in ("alice", "bob", "alice")]
    anonymous = await whoami(shared_toolbox)
    assert [user["authorization"] for user in users] == ["Bearer alice", "Bearer bob", "Bearer alice"]
    assert anonymous["authorization"] == ""
    assert users[0]["session"] == users[2]["session"]
    assert len({users[0]["session"], users[1]["session"], anonymous["session"]}) == 3


async def test_calls_of_different_users_at_once_keep_their_own_credentials(shared_toolbox):
    set_limits(Limits(connect=DEADLINE))  # fifty at once on a busy machine
    tokens = [f"user-{n % 5}" for n in range(50)]
    users = await asyncio.gather(*(whoami(shared_toolbox, token) for token in tokens))
    assert [user["authorization"] for user in users] == [f"Bearer {token}" for token in tokens]
    assert len({user["session"] for user in users}) == 5


async def test_a_credential_is_sent_only_to_the_server_it_is_for(shared_toolbox):
    other = f"{shared_toolbox.url}/mcp?other"
    found = await tool([MCPServerConfig(url=other)], "whoami", {shared_toolbox.url: ServerCredential.bearer("alice")})
    assert json.loads(text(await found.ainvoke({})))["authorization"] == ""


async def test_two_users_with_the_same_credential_share_no_session(shared_toolbox):
    users = [await whoami(shared_toolbox, "operator", user) for user in ("ada", "mia", "ada")]
    assert [user["authorization"] for user in users] == ["Bearer operator"] * 3
    assert users[0]["session"] == users[2]["session"] != users[1]["session"]


async def test_two_users_share_no_session_with_a_server_that_asks_for_nothing(shared_toolbox):
    ada, mia = [await whoami(shared_toolbox, user=user) for user in ("ada", "mia")]
    assert ada["session"] != mia["session"]


def test_credentials_are_not_printed():
    assert "alice" not in repr(server_access("http://h/mcp", ServerCredential.bearer("alice")))


async def test_a_cancelled_call_leaves_the_session_usable_and_tells_the_server(start_mcp, eventually):
    server = start_mcp("toolbox.py")
    servers = [MCPServerConfig(url=server.url)]
    before = await whoami(server)
    call = asyncio.create_task((await tool(servers, "slow")).ainvoke({"seconds": 120}))
    await eventually(lambda: server.calls("slow") == 1, "the tool runs")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await whoami(server) == before
    await eventually(lambda: "cancelled" in server.lines, "the server has stopped the tool")


async def test_pings_whose_answers_arrive_as_they_are_given_up_spoil_no_call(shared_toolbox):
    """The SDK's session ends when an answer finds its request being cancelled: so what was sent is never cancelled."""
    servers = [MCPServerConfig(url=shared_toolbox.url)]
    for milliseconds in range(2, 10):
        set_limits(Limits(ping=milliseconds / 1000))
        slow = await tool(servers, "slow")
        assert text(await slow.ainvoke({"seconds": 0.4})) == "at last"
        await close_sessions()


async def test_a_timed_out_call_leaves_the_session_usable(start_mcp, eventually):
    set_limits(Limits(read=0.3))
    server = start_mcp("toolbox.py")
    before = await whoami(server)
    with pytest.raises(Exception, match=r"no answer within 0\.3 s"):
        await (await tool([MCPServerConfig(url=server.url)], "slow")).ainvoke({"seconds": 120})
    assert (await whoami(server))["session"] == before["session"]
    await eventually(lambda: "cancelled" in server.lines, "the server has stopped the tool")


async def test_a_restarted_server_is_met_again_with_one_repetition(start_mcp):
    server = start_mcp("toolbox.py")
    echo = await tool([MCPServerConfig(url=server.url)], "echo")
    before = await whoami(server)
    server.restart()
    results = await asyncio.gather(*(echo.ainvoke({"text": f"again {n}"}) for n in range(12)))
    assert [text(result) for result in results] == [f"again {n}" for n in range(12)]
    assert server.calls("echo") == 12, "each ran once"
    assert (await whoami(server))["session"] != before["session"]


async def test_a_restarted_server_with_other_tools_is_listed_anew(start_mcp):
    server = start_mcp("toolbox.py", "--offer", "echo")
    config = MCPServerConfig(url=server.url)
    echo = await tool([config], "echo")
    server.command[-1] = "echo,slow"
    server.restart()
    await echo.ainvoke({"text": "the session is gone"})
    assert {one.name for one in (await discover([config])).offered(ProviderRules()).tools} == {"echo", "slow"}


async def test_a_dead_server_fails_a_call_without_waiting_for_the_read_timeout(start_mcp):
    set_limits(Limits(read=60))
    server = start_mcp("toolbox.py")
    echo = await tool([MCPServerConfig(url=server.url)], "echo")
    server.kill()
    started = time.monotonic()
    with pytest.raises(Exception, match="no connection"):
        await echo.ainvoke({"text": "anybody?"})
    assert time.monotonic() - started < 30


async def test_a_change_of_the_tools_is_noticed(start_mcp, eventually):
    server = start_mcp("toolbox.py")
    config = MCPServerConfig(url=server.url)
    await (await tool([config], "grow")).ainvoke({"name": "newcomer"})
    async with asyncio.timeout(DEADLINE):
        while "newcomer" not in {one.name for one in (await discover([config])).offered(ProviderRules()).tools}:
            await asyncio.sleep(0.02)


async def test_a_list_of_tools_is_read_again_after_its_time(start_mcp):
    set_limits(Limits(tool_list=0.0))
    server = start_mcp("toolbox.py", "--offer", "echo")
    first = (await discover([MCPServerConfig(url=server.url)])).identity
    assert (await discover([MCPServerConfig(url=server.url)])).identity == first, "equal tools have one identity"


async def test_a_restarted_server_is_not_taken_for_an_unavailable_one(start_mcp):
    set_limits(Limits(tool_list=0.0))
    server = start_mcp("toolbox.py")
    config = MCPServerConfig(url=server.url)
    assert not (await discover([config])).notices
    server.restart()
    assert not (await discover([config])).notices


async def test_an_idle_session_is_closed_and_reopened_when_needed(shared_toolbox, eventually):
    set_limits(Limits(idle=0.2))
    before = await whoami(shared_toolbox)
    sessions = [one.session for one in current_pool()._servers.values()]
    await eventually(lambda: not any(session.alive for session in sessions), "the session is closed")
    assert (await whoami(shared_toolbox))["session"] != before["session"]


async def test_a_session_in_use_is_not_idle(shared_toolbox):
    set_limits(Limits(idle=0.1))
    slow = await tool([MCPServerConfig(url=shared_toolbox.url)], "slow")
    assert text(await slow.ainvoke({"seconds": 0.5})) == "at last"


async def test_closing_ends_every_session_task(shared_toolbox, second_toolbox):
    await whoami(shared_toolbox)
    await discover([MCPServerConfig(url=second_toolbox.url)])
    await close_sessions()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "mcp-session"]


async def test_at_most_sixteen_calls_are_in_flight_on_a_session(shared_toolbox, eventually, tmp_path):
    wait_for = await tool([MCPServerConfig(url=shared_toolbox.url)], "wait_for")
    signal, before = tmp_path / "signal", shared_toolbox.calls("wait_for")
    calls = [asyncio.create_task(wait_for.ainvoke({"path": str(signal)})) for _ in range(40)]
    await eventually(lambda: shared_toolbox.calls("wait_for") >= before + 16, "sixteen have begun")
    await _get(shared_toolbox.url)  # a seventeenth would have begun before this has an answer
    assert shared_toolbox.calls("wait_for") == before + 16
    signal.touch()
    assert {text(result) for result in await asyncio.gather(*calls)} == {"at last"}
    assert shared_toolbox.calls("wait_for") == before + 40


async def _get(url):
    async with httpx.AsyncClient() as http:
        await http.get(url)


async def test_first_uses_at_once_open_one_session(shared_toolbox):
    offers = await asyncio.gather(*(discover([MCPServerConfig(url=shared_toolbox.url)]) for _ in range(20)))
    assert len({offer.identity for offer in offers}) == 1
    assert sum(task.get_name() == "mcp-session" for task in asyncio.all_tasks()) == 1


async def test_a_session_does_not_carry_the_variables_of_the_run_that_opened_it(shared_toolbox):
    from contextvars import ContextVar

    secret = ContextVar("secret", default="none")
    secret.set("of the first run")
    await whoami(shared_toolbox)
    owner = next(task for task in asyncio.all_tasks() if task.get_name() == "mcp-session")
    assert secret not in owner.get_context() if hasattr(owner, "get_context") else True


async def test_a_server_that_serves_no_mcp_is_unavailable(model_server):
    offer = await discover([MCPServerConfig(name="odd", url=model_server.url.replace("/v1", ""))])
    assert offer.notices[0]["server"] == "odd"


async def test_a_build_with_healthy_servers_costs_little(shared_toolbox, second_toolbox, configure):
    config = configure(("server-1", shared_toolbox.url), ("server-2", second_toolbox.url))
    await graph(config)
    times = []
    for _ in range(200):
        started = time.perf_counter()
        await graph(config)
        times.append((time.perf_counter() - started) * 1000)
    times.sort()
    print(  # noqa: T201  a measurement to read with -s
        f"\nbuild with two pooled servers: p50 {times[100]:.2f} ms, p95 {times[190]:.2f} ms, max {times[-1]:.2f} ms"
    )
    assert times[100] < 50


@pytest.mark.parametrize(
    ("url", "called"),
    [
        ("http://legal-mcp:8002", "http://legal-mcp:8002/mcp"),
        ("http://legal-mcp:8002/", "http://legal-mcp:8002/mcp"),
        ("https://h/api/mcp/", "https://h/api/mcp/"),
        ("https://h?x=1", "https://h/mcp?x=1"),
        ("http://h/other", "http://h/other"),
    ],
)
def test_an_empty_path_means_mcp(url, called):
    assert endpoint(url) == called
    assert server_access(url) == ServerAccess(called)
