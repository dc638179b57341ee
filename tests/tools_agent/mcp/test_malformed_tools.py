"""Lists of tools that are malformed: a bad tool costs only itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from deadlines import DEADLINE
from remote.raw_mcp import EVENTS, OBJECT, Raw, tool

from tools_agent.agent import graph
from tools_agent.limits import Limits, set_limits
from tools_agent.notices import DETAIL_CHARACTERS, MAX_NAMES, collect

MALFORMED: dict[str, tuple[Any, str]] = {
    "no schema": ({"name": "bad"}, "bad"),
    "a schema that is null": ({"name": "bad", "inputSchema": None}, "bad"),
    "a schema that is a list": ({"name": "bad", "inputSchema": []}, "bad"),
    "a schema that is true": ({"name": "bad", "inputSchema": True}, "bad"),
    "no name": ({"inputSchema": OBJECT}, "number 2"),
    "a name that is null": ({"name": None, "inputSchema": OBJECT}, "number 2"),
    "a name that is a number": ({"name": 5, "inputSchema": OBJECT}, "number 2"),
    "null": (None, "number 2"),
    "a string": ("bad", "number 2"),
    "a list": (["bad"], "number 2"),
    "a description that is a number": ({"name": "bad", "inputSchema": OBJECT, "description": 5}, "bad"),
    "a name with NUL": ({"name": "b\0ad", "description": 5}, "b ad"),
    "a long name": ({"name": "b" * 5000}, "b" * 64),
    "a second one of that name": (tool("thing"), "thing"),
}


@pytest.mark.parametrize("what", MALFORMED)
@pytest.mark.parametrize("allowed", [None, ["thing"]])
async def test_a_malformed_tool_costs_only_itself_and_is_named(
    raw_mcp: Any, configure: Any, ask: Any, what: str, allowed: list[str] | None
) -> None:
    bad, name = MALFORMED[what]
    first, healthy = raw_mcp([tool("thing"), bad, tool("other")]), raw_mcp([tool("echo")])
    compiled = await graph(configure({"name": "a", "url": first.url, "tools": allowed}, ("b", healthy.url)))
    [notice] = compiled.notices
    assert (notice["kind"], notice["server"], notice["names"]) == ("mcp_tools_unusable", "a", [name])
    assert name[:50] in notice["detail"] and len(notice["detail"]) <= DETAIL_CHARACTERS
    for one in ("thing", "echo"):
        assert (await ask(compiled, f"use the tool {one} with {{}}"))[2].content == f"{one} ran"
    assert notice["detail"] in (await ask(compiled, "hello"))[-1].text


async def test_a_malformed_tool_of_the_agents_list_is_not_told_as_one_that_does_not_exist(
    raw_mcp: Any, configure: Any
) -> None:
    server = raw_mcp([{"name": "bad"}])
    compiled = await graph(configure({"name": "a", "url": server.url, "tools": ["bad"]}))
    assert [notice["kind"] for notice in compiled.notices] == ["mcp_tools_unusable"]
    compiled = await graph(configure({"name": "a", "url": server.url, "tools": ["bad", "gone"]}))
    assert [notice["names"] for notice in compiled.notices] == [["bad"], ["gone"]]


async def test_any_number_of_malformed_tools_is_one_short_notice(raw_mcp: Any, configure: Any) -> None:
    server = raw_mcp([{"name": f"bad{number}"} for number in range(200)])
    [notice] = (await graph(configure(("a", server.url)))).notices
    assert len(notice["names"]) == MAX_NAMES
    assert "and 197 more" in notice["detail"]


@pytest.mark.parametrize("result", [{}, {"tools": None}, {"tools": {}}, {"tools": "x"}, {"nextCursor": 5}])
async def test_a_list_that_is_none_costs_only_its_server(raw_mcp: Any, configure: Any, ask: Any, result: Any) -> None:
    broken, healthy = raw_mcp(result), raw_mcp([tool("echo")])
    compiled = await graph(configure(("a", broken.url), ("b", healthy.url)))
    [notice] = compiled.notices
    assert (notice["kind"], notice["server"]) == ("mcp_server_unavailable", "a")
    assert "`tools`" in notice["detail"]
    assert (await ask(compiled, "use the tool echo with {}"))[2].content == "echo ran"


JSON_RPC = b'{"jsonrpc":"2.0","id":{id},'
UNREADABLE: dict[str, tuple[Raw, str]] = {
    "half a document": (Raw(JSON_RPC + b'"result":{"content":[{"type":"te'), "not JSON"),
    "nothing": (Raw(b""), "nothing"),
    "a login page": (Raw(b"<html>Sign in</html>", "text/html; charset=utf-8"), "a document of type text/html"),
    "a page called JSON": (Raw(b"<html>Sign in</html>"), "not JSON"),
    "plain JSON": (Raw(b'{"content":[]}'), "not JSON-RPC"),
    "a list": (Raw(b"[]"), "not JSON-RPC"),
    "null": (Raw(b"null"), "not JSON-RPC"),
    "a result that is null": (Raw(JSON_RPC + b'"result":null}'), "not JSON-RPC"),
    "a result that is a list": (Raw(JSON_RPC + b'"result":[]}'), "not JSON-RPC"),
    "the answer to another request": (Raw(b'{"jsonrpc":"2.0","id":4711,"result":{}}'), "another request"),
    "a request": (Raw(JSON_RPC + b'"method":"ping"}'), "a request of its own"),
    "an acceptance without an answer": (Raw(b"", status=202), "nothing"),
    "no content": (Raw(b"", "", status=204), "nothing"),
    "events without an answer": (Raw(b": hello\n\n", EVENTS), "ended without a result"),
    "an event that is no JSON": (Raw(b"data: <html>\n\n", EVENTS), "not JSON"),
    "an event of another kind": (Raw(b"event: error\ndata: {}\n\n", EVENTS), "ended without a result"),
    "half an event": (Raw(b"data: " + JSON_RPC, EVENTS), "ended without a result"),
}


@pytest.fixture
def patient() -> None:
    """Deadlines that no answer reaches, so that waiting for them would fail the test."""
    set_limits(Limits(connect=500, read=500))


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("what", UNREADABLE)
async def test_an_answer_that_is_no_json_rpc_is_told_at_once_and_not_as_a_failure(
    raw_mcp: Any, configure: Any, ask: Any, what: str
) -> None:
    answer, reason = UNREADABLE[what]
    server = raw_mcp([tool("odd"), tool("good")], {"odd": answer})
    compiled = await graph(configure(("s", server.url)))
    result = (await ask(compiled, "use the tool odd with {}"))[2]
    assert result.status == "error"
    assert reason in result.content
    assert "may have run" in result.content and "failed" not in result.content
    assert (await ask(compiled, "use the tool good with {}"))[2].content == "good ran", "the session lives on"
    assert [name for name, _ in server.calls] == ["odd", "good"]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("what", ["a login page", "half a document", "an acceptance without an answer"])
@pytest.mark.parametrize("step", ["initialized", "tools"])
async def test_a_server_that_speaks_no_json_rpc_is_unavailable_with_that_reason(
    raw_mcp: Any, configure: Any, what: str, step: str
) -> None:
    answer, reason = UNREADABLE[what]
    server = raw_mcp([tool("echo")])
    setattr(server, step, answer)
    [notice] = (await graph(configure(("s", server.url)))).notices
    assert notice["kind"] == "mcp_server_unavailable"
    assert reason in notice["detail"]


@pytest.mark.parametrize("url", ["https://x/\\u0000", "https://x/\\n", "javascript:alert(1)"])
async def test_an_address_that_no_browser_opens_is_left_out(raw_mcp: Any, configure: Any, ask: Any, url: str) -> None:
    error = f'"error":{{"code":-32003,"message":"m","data":{{"message":"Sign in.","url":"{url}"}}}}}}'
    server = raw_mcp([tool("odd")], {"odd": Raw(JSON_RPC + error.encode())})
    messages = await ask(await graph(configure(("s", server.url))), "use the tool odd with {}")
    assert collect(messages) == [{"kind": "interaction_required", "tool": "odd", "detail": "Sign in."}]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_call_that_is_answered_with_a_server_error_fails_no_other_call(
    raw_mcp: Any, configure: Any, ask: Any, status: int
) -> None:
    server = raw_mcp([tool("odd"), tool("slow")], {"odd": Raw(b"<html>", "text/html", status)})
    server.slow = {"slow"}
    compiled = await graph(configure(("s", server.url)))
    other = asyncio.create_task(ask(compiled, "use the tool slow with {}"))
    async with asyncio.timeout(DEADLINE):
        while not server.calls:
            await asyncio.sleep(0.01)
    result = (await ask(compiled, "use the tool odd with {}"))[2]
    assert f"it answered {status}" in result.content and "may have run" in result.content
    server.paused.set()
    assert (await other)[2].content == "slow ran"


READABLE: dict[str, tuple[Raw, str]] = {
    "half a surrogate pair": (
        Raw(JSON_RPC + rb'"result":{"content":[{"type":"text","text":"a\ud83d b"}]}}'),
        "a\ufffd b",
    ),
    "an error without an id": (
        Raw(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"cannot read"}}'),
        "cannot read (code -32700)",
    ),
    "an id as text": (
        Raw(b'{"jsonrpc":"2.0","id":"{id}","result":{"content":[{"type":"text","text":"fine"}]}}'),
        "fine",
    ),
    "events with several line ends": (
        Raw(b': x\r\rdata: {"jsonrpc":"2.0","method":"notifications/message"}\r\n\r\nid: 1\ndata:' + JSON_RPC
            + b'\ndata: "result":{"content":[{"type":"text","text":"fine"}]}}\n\n', EVENTS),
        "fine",
    ),
    "line separators in text": (
        Raw(b"data: " + JSON_RPC + '"result":{"content":[{"type":"text","text":"a\u2028\x85b"}]}}\n\n'.encode(),
            EVENTS),
        "a\u2028\x85b",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("what", READABLE)
async def test_an_answer_that_can_be_read_is_read(raw_mcp: Any, configure: Any, ask: Any, what: str) -> None:
    answer, text = READABLE[what]
    server = raw_mcp([tool("odd")], {"odd": answer})
    result = (await ask(await graph(configure(("s", server.url))), "use the tool odd with {}"))[2]
    assert text in result.content
