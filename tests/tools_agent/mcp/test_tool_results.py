"""Results of tools: each is kept, given to the model in a form that it takes, and never told as a failure."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from remote.model_api import ModelApi, ToolCall
from remote.raw_mcp import JSON, Raw, text, tool

from robyn_server.graphs.checkpoints.serializer import checkpoint_serializer
from tools_agent.agent import graph

Provider = tuple[str, ModelApi]

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 50).decode()
LINK = {"type": "resource_link", "uri": "file:///a/b.txt", "name": "b", "mimeType": "text/plain", "size": 12}
SEE = {"type": "text", "text": "see the link"}
IMAGE = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
AUDIO = {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"}
PDF = {"type": "resource", "resource": {"uri": "file:///a.pdf", "blob": "JVBERg==", "mimeType": "application/pdf"}}
NOTE = {"type": "resource", "resource": {"uri": "file:///n.txt", "text": "a note"}}

RESULTS: dict[str, tuple[Any, list[str]]] = {
    "a link beside text": ({"content": [LINK, SEE]}, ["see the link", "file:///a/b.txt", "text/plain", "12 bytes"]),
    "a link": ({"content": [LINK]}, ["b, text/plain"]),
    "an image": ({"content": [IMAGE]}, ["image/png", "2 bytes"]),
    "an image beside text": ({"content": [IMAGE, SEE]}, ["image/png", "see the link"]),
    "an image without a type": ({"content": [{"type": "image", "data": "aGk="}]}, ["image"]),
    "an image that is none": ({"content": [{"type": "image", "data": "%%%", "mimeType": "image/png"}]}, ["image/png"]),
    "an image of an odd type": ({"content": [{**IMAGE, "mimeType": "image/x-odd"}]}, ["image/x-odd"]),
    "audio": ({"content": [AUDIO]}, ["audio/wav"]),
    "audio beside text": ({"content": [AUDIO, SEE]}, ["audio/wav", "see the link"]),
    "an embedded document": ({"content": [PDF]}, ["application/pdf", "file:///a.pdf", "4 bytes"]),
    "an embedded text": ({"content": [NOTE, SEE]}, ["a note", "see the link"]),
    "structured content alone": ({"content": [], "structuredContent": {"answer": 42}}, ['{"answer": 42}']),
    "structured content without content": ({"structuredContent": {"answer": 42}}, ['{"answer": 42}']),
    "structured content beside an image": ({"content": [IMAGE], "structuredContent": {"a": 1}}, ['{"a": 1}', "image"]),
    "structured content beside empty text": ({**text(" "), "structuredContent": {"a": 1}}, ['{"a": 1}']),
    "structured content that is a list": ({"content": [], "structuredContent": [1, 2]}, ["[1, 2]"]),
    "an unknown kind": ({"content": [{"type": "hologram", "depth": 3}, SEE]}, ["hologram", "see the link"]),
    "no kind": ({"content": [{"depth": 3}]}, ["depth"]),
    "text that is a number": ({"content": [{"type": "text", "text": 5}]}, ["5"]),
    "a block that is text": ({"content": ["plain"]}, ["plain"]),
    "a block that is null": ({"content": [None, SEE]}, ["see the link"]),
    "content that is no list": ({"content": SEE}, ["see the link"]),
    "content that is text": ({"content": "plain"}, ["plain"]),
    "no content": ({}, []),
    "empty content": ({"content": []}, []),
    "empty text": (text(""), []),
    "an old result": ({"toolResult": 5, "content": None}, []),
    "odd metadata": ({**text("fine"), "_meta": "x", "isError": None, "more": [1]}, ["fine"]),
    "half a pair": ({"content": [{"type": "text", "text": "a \ud83d b"}]}, ["a \ufffd b"]),
    "a deep answer": ({"content": [SEE], "structuredContent": {"a": json.loads("[" * 300 + "]" * 300)}}, ["see"]),
    "a large integer": ({**text("ok"), "structuredContent": {"n": 10**30}}, ["ok"]),
    "a large integer alone": ({"content": [], "structuredContent": {"n": 10**30}}, [f'{{"n": {10**30}}}']),
    "numbers that are none": ({"content": [], "structuredContent": {"n": float("nan")}}, ["NaN"]),
}


def read_by_model(api: ModelApi) -> str:
    """The result of a tool as the model read it."""
    last = api.requests[-1]["messages"][-1]
    content = last["content"] if last["role"] == "tool" else last["content"][0]["content"]
    return content if isinstance(content, str) else "\n".join(part.get("text", part["type"]) for part in content)


@pytest.mark.parametrize("what", RESULTS)
async def test_a_result_of_any_kind_is_read_and_the_conversation_goes_on(
    provider: Provider, raw_mcp: Any, configure: Any, what: str
) -> None:
    model, api = provider
    result, words = RESULTS[what]
    server = raw_mcp([tool("odd")], {"odd": result})
    saver = InMemorySaver(serde=checkpoint_serializer())
    compiled = (await graph(configure(("s", server.url), model_name=model))).copy({"checkpointer": saver})
    state: Any = {}
    for asked in ("call odd {}", "hello"):
        state = await compiled.ainvoke({"messages": [("user", asked)]}, {"configurable": {"thread_id": "t"}})
        if asked != "hello":
            read = read_by_model(api)
            assert read.strip()
            assert all(word in read for word in words), read
    assert (api.refusals, server.calls, state["messages"][2].status) == ([], [("odd", {})], "success")
    assert "fix the error" not in str(state["messages"])


@pytest.mark.parametrize("block", [LINK, IMAGE, AUDIO, PDF])
async def test_content_that_the_model_cannot_take_is_kept_for_the_user(
    raw_mcp: Any, configure: Any, ask: Any, block: Any
) -> None:
    server = raw_mcp([tool("odd")], {"odd": {"content": [block, SEE]}})
    message = (await ask(await graph(configure(("s", server.url))), "use the tool odd with {}"))[2]
    [kept, said] = message.content
    payload = block.get("data") or block.get("uri") or block["resource"]["blob"]
    assert payload in (kept.get("base64"), kept.get("url"))
    assert kept["mime_type"] == block.get("mimeType", "application/pdf")
    assert said == SEE


@pytest.mark.parametrize("block", [NOTE, {"type": "hologram", "depth": 3}])
async def test_a_block_without_a_form_in_langchain_is_kept_whole_in_the_artifact(
    raw_mcp: Any, configure: Any, ask: Any, block: Any
) -> None:
    server = raw_mcp([tool("odd")], {"odd": {"content": [block], "structuredContent": {"n": 10**30}}})
    message = (await ask(await graph(configure(("s", server.url))), "use the tool odd with {}"))[2]
    assert message.artifact == {"content": [block], "structured_content": {"n": 10**30}}


async def test_a_picture_is_shown_to_a_model_that_takes_pictures(
    strict_anthropic: Any, raw_mcp: Any, configure: Any, ask: Any
) -> None:
    picture = {"type": "image", "data": PNG, "mimeType": "image/png"}
    server = raw_mcp([tool("draw")], {"draw": {"content": [picture, IMAGE, SEE]}})
    compiled = await graph(configure(("s", server.url), model_name="anthropic:claude-test"))
    await ask(compiled, "call draw {}")
    [result] = strict_anthropic.requests[-1]["messages"][-1]["content"]
    assert [part["type"] for part in result["content"]] == ["image", "text", "text"]
    assert result["content"][0]["source"]["data"] == PNG
    assert strict_anthropic.refusals == []


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({**text("no ink"), "isError": True}, "no ink"),
        ({"content": [], "isError": True}, "reports an error"),
        ({"content": [], "structuredContent": {"code": 7}, "isError": True}, '{"code": 7}'),
        ({"content": [AUDIO], "isError": True}, "audio/wav"),
    ],
)
async def test_an_error_that_the_tool_reports_is_an_error_with_its_content(
    provider: Provider, raw_mcp: Any, configure: Any, ask: Any, result: Any, said: str
) -> None:
    model, api = provider
    server = raw_mcp([tool("odd")], {"odd": result})
    messages = await ask(await graph(configure(("s", server.url), model_name=model)), "call odd {}")
    assert messages[2].status == "error"
    assert said in read_by_model(api)
    assert api.refusals == []


async def test_an_integer_of_any_size_reaches_the_tool_exactly(
    provider: Provider, raw_mcp: Any, configure: Any, ask: Any
) -> None:
    model, api = provider
    server = raw_mcp([tool("odd")])
    await ask(await graph(configure(("s", server.url), model_name=model)), f'call odd {{"n": {2**64}, "m": -{10**40}}}')
    assert server.calls == [("odd", {"n": 2**64, "m": -(10**40)})]
    assert api.refusals == []


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ('{"a": {"b": [NaN]}}', "a.b.0: nan"),
        ('{"a": -Infinity}', "a: -inf"),
        (r'{"a": "\ud83d"}', "a: half of a surrogate pair"),
        (r'{"\ud83d": 1}', "half of a surrogate pair in a name"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", "levels"),
    ],
)
async def test_arguments_that_cannot_be_sent_are_refused_by_name_and_the_tool_does_not_run(
    provider: Provider, raw_mcp: Any, configure: Any, ask: Any, arguments: str, where: str
) -> None:
    model, api = provider
    if model.startswith("anthropic") and "Na" + "N" not in arguments:
        pytest.skip("one of them is enough: the SDK parses each answer")
    server = raw_mcp([tool("odd"), tool("good")])
    api.script = [[ToolCall("odd", arguments)], "sorry", [ToolCall("good")], "done"]
    compiled = await graph(configure(("s", server.url), model_name=model))
    message = (await ask(compiled, "go"))[2]
    assert (message.status, server.calls) == ("error", [])
    assert where in message.content
    await ask(compiled, "again")
    assert (server.calls, api.refusals) == ([("good", {})], [])


async def test_a_result_does_not_depend_on_the_schema_that_the_tool_promises(
    raw_mcp: Any, configure: Any, ask: Any
) -> None:
    promised = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    server = raw_mcp([tool("odd", outputSchema=promised)], {"odd": {"content": [], "structuredContent": {"b": 1}}})
    message = (await ask(await graph(configure(("s", server.url))), "use the tool odd with {}"))[2]
    assert (message.status, message.content) == ("success", '{"b": 1}')


async def test_an_integer_that_python_does_not_read_becomes_text(raw_mcp: Any, configure: Any, ask: Any) -> None:
    body = b'{"jsonrpc":"2.0","id":{id},"result":{"content":[],"structuredContent":{"n":' + b"9" * 6000 + b"}}}"
    server = raw_mcp([tool("odd")], {"odd": Raw(body, JSON)})
    message = (await ask(await graph(configure(("s", server.url))), "use the tool odd with {}"))[2]
    assert (message.status, message.artifact) == ("success", {"structured_content": {"n": "9" * 6000}})
