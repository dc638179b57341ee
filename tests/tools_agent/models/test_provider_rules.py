"""Names, schemas and conversations, against APIs that refuse what the public ones refuse."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from remote.model_api import ModelApi, ToolCall
from remote.raw_mcp import OBJECT, tool

from tools_agent.agent import graph
from tools_agent.conversation import NOT_FINISHED
from tools_agent.models.providers import NAME_LENGTH
from tools_agent.models.tool_names import adapted, offered_names

Provider = tuple[str, ModelApi]
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 50).decode()
NAMES = ["files.read", "get user", "größe", "x" * 80, "", "名前", "a/b:c", "2fa", "-", "🦊", "echo", "e\ud800h"]


def offered(body: Any) -> list[str]:
    return [(each.get("function") or each)["name"] for each in body.get("tools", ())]


def schema_of(body: Any, name: str) -> Any:
    [each] = [one for one in body["tools"] if (one.get("function") or one)["name"] == name]
    return each["input_schema"] if "input_schema" in each else each["function"]["parameters"]


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_tool_is_offered_called_and_its_result_read(
    provider: Provider, raw_mcp: Any, configure: Any, streaming: bool
) -> None:
    model, api = provider
    server = raw_mcp([tool("echo", {"type": "object", "properties": {"text": {"type": "string"}}})])
    compiled = await graph(configure(("s", server.url), model_name=model))
    given = {"messages": [("user", 'call echo {"text": "hi"}')]}
    mode = "messages" if streaming else "values"
    [*_, last] = [each async for each in compiled.astream(given, stream_mode=["values", mode])]
    assert server.calls == [("echo", {"text": "hi"})]
    assert last[1]["messages"][-1].text == "done"
    assert len(api.requests) == 2
    assert api.refusals == []


async def test_tools_of_any_name_are_offered_and_called_by_their_own_name(
    provider: Provider, raw_mcp: Any, configure: Any, ask: Any
) -> None:
    model, api = provider
    names = [name for name in NAMES if "\ud800" not in name]
    server = raw_mcp([tool(name) for name in names])
    compiled = await graph(configure(("s", server.url), model_name=model))
    assert (await ask(compiled, "hello"))[-1].text == "fine"
    told = offered(api.requests[0])
    assert len(told) == len(names)
    for name in told:
        await ask(compiled, f"call {name} {{}}")
    assert [called for called, _ in server.calls] == names
    assert api.refusals == []


async def test_a_renamed_tool_tells_its_own_name(strict_openai: Any, raw_mcp: Any, configure: Any, ask: Any) -> None:
    server = raw_mcp([tool("files.read", description="Read a file.")])
    await ask(await graph(configure(("s", server.url), model_name="openai:gpt-test")), "hello")
    [told] = strict_openai.requests[0]["tools"]
    assert told["function"]["name"] == "files_read"
    assert told["function"]["description"] == "Read a file.\n\nThe user may call it files.read."


async def test_equal_names_of_several_servers_stay_apart_whatever_the_servers_are_called(
    provider: Provider, raw_mcp: Any, configure: Any, ask: Any
) -> None:
    model, api = provider
    servers = [raw_mcp([tool("x" * 80), tool("a.b"), tool("a_b")]) for _ in range(4)]
    config = configure(*[("größe " * 30, server.url) for server in servers], model_name=model)
    compiled = await graph(config)
    await ask(compiled, "hello")
    for name in offered(api.requests[0]):
        await ask(compiled, f"call {name} {{}}")
    assert [sorted(called for called, _ in server.calls) for server in servers] == [["a.b", "a_b", "x" * 80]] * 4
    assert api.refusals == []


def test_names_are_unique_and_of_the_form_that_providers_take() -> None:
    listed = [("s" * 70, name) for name in NAMES * 30]
    names = offered_names(listed)
    assert len(set(names)) == len(listed)
    assert all(adapted(name) == name and 1 <= len(name) <= NAME_LENGTH for name in names)


def test_a_name_that_needs_no_change_is_kept_even_if_a_changed_one_comes_first() -> None:
    assert offered_names([("s", "a.b"), ("s", "a_b")]) == ["s__a_b", "a_b"]


USABLE: dict[str, Any] = {
    "no properties": {"type": "object"},
    "nothing": {},
    "null properties": {"type": "object", "properties": None, "required": None},
    "two types": {"type": ["object", "null"], "properties": {"a": {"type": ["array", "null"]}}},
    "top-level anyOf": {
        "anyOf": [
            {"type": "object", "properties": {"a": {"type": "string"}, "c": {}}, "required": ["a", "c"]},
            {"type": "object", "properties": {"b": {"type": "integer"}, "c": {}}, "required": ["b", "c"]},
            {"type": "null"},
        ]
    },
    "top-level allOf": {"type": "object", "allOf": [{"properties": {"a": {}}}, {"required": ["a"]}]},
    "top-level enum and not": {"type": "object", "properties": {}, "enum": [{}], "not": {"required": ["x"]}},
    "an array without items": {"type": "object", "properties": {"a": {"type": "array"}}},
    "a tuple of an older draft": {"type": "object", "properties": {"a": {"type": "array", "items": [{}, {}]}}},
    "true and false": {"type": "object", "properties": {"a": True, "b": False}},
    "a reference": {
        "$ref": "#/$defs/Arguments",
        "$defs": {"Arguments": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}}, "A": {"type": "string"}},
    },
    "a reference to itself": {
        "type": "object",
        "properties": {"tree": {"$ref": "#/definitions/Tree"}},
        "definitions": {"Tree": {"type": "object", "properties": {"left": {"$ref": "#/definitions/Tree"}}}},
    },
    "a property called title": {
        "type": "object",
        "title": "T",
        "properties": {"title": {"type": "string", "title": "T"}},
    },
    "another dialect": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {}},
    "a required that is true": {"type": "object", "properties": {"a": {"type": "string", "required": True}}},
    "numbers that are none": {"type": "object", "properties": {"a": {"default": float("nan")}}},
    "odd names": {"type": "object", "properties": {"größe": {}, "a b": {}, "x" * 70: {}, "": {}}, "required": ["a b"]},
}


@pytest.mark.parametrize("what", USABLE)
async def test_a_schema_is_adapted_to_what_the_provider_takes(
    provider: Provider, raw_mcp: Any, configure: Any, ask: Any, what: str
) -> None:
    model, api = provider
    server = raw_mcp([tool("odd", USABLE[what])])
    compiled = await graph(configure(("s", server.url), model_name=model))
    await ask(compiled, "call odd {}")
    assert (compiled.notices, api.refusals, server.calls) == ((), [], [("odd", {})])


async def test_alternatives_at_the_top_are_merged(strict_openai: Any, raw_mcp: Any, configure: Any, ask: Any) -> None:
    server = raw_mcp([tool("odd", USABLE["top-level anyOf"])])
    await ask(await graph(configure(("s", server.url), model_name="openai:gpt-test")), "hello")
    schema = schema_of(strict_openai.requests[0], "odd")
    assert set(schema["properties"]) == {"a", "b", "c"}
    assert schema["required"] == ["c"]


async def test_arguments_of_any_name_reach_the_tool_under_their_own(
    strict_anthropic: Any, raw_mcp: Any, configure: Any, ask: Any
) -> None:
    server = raw_mcp([tool("odd", USABLE["odd names"])])
    compiled = await graph(configure(("s", server.url), model_name="anthropic:claude-test"))
    await ask(compiled, "hello")
    schema = schema_of(strict_anthropic.requests[0], "odd")
    assert schema["required"] == [list(schema["properties"])[1]]
    strict_anthropic.script = [[ToolCall("odd", dict.fromkeys(schema["properties"], 1))], "done"]
    await ask(compiled, "go")
    assert server.calls == [("odd", {"größe": 1, "a b": 1, "x" * 70: 1, "": 1})]


def doubling(levels: int) -> Any:
    """A schema that is doubled at each level when its references are replaced."""
    ref = [{"$ref": f"#/$defs/d{level + 1}"} for level in range(levels)]
    definitions = {
        f"d{level}": {"type": "object", "properties": {"a": ref[level], "b": ref[level]}} for level in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": definitions | {f"d{levels}": {}}}


def deep(levels: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


HOPELESS: dict[str, Any] = {
    "a string": {"type": "string"},
    "alternatives without an object": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "an unknown type": {"type": "object", "properties": {"a": {"type": "any"}}},
    "properties that are a list": {"type": "object", "properties": ["a"]},
    "a property that is a number": {"type": "object", "properties": {"a": 5}},
    "a reference to nothing": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}},
    "a reference to elsewhere": {"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}},
    "a reference that is a number": {"type": "object", "properties": {"a": {"$ref": 5}}},
    "a reference in a default": {"type": "object", "properties": {"a": {"default": {"$ref": "x"}}}},
    "a limit of an older draft": {"type": "object", "properties": {"a": {"exclusiveMinimum": True}}},
    "a doubling one": doubling(40),
    "a deep one": deep(150),
    "a large one": {"type": "object", "properties": {"a": {"description": "x" * 200_000}}},
}


@pytest.mark.parametrize("what", HOPELESS)
async def test_a_hopeless_schema_costs_its_tool_which_is_named(
    provider: Provider, raw_mcp: Any, configure: Any, ask: Any, what: str
) -> None:
    model, api = provider
    server = raw_mcp([tool("hopeless", HOPELESS[what]), tool("good")])
    compiled = await graph(configure(("s", server.url), model_name=model))
    [notice] = compiled.notices
    assert (notice["kind"], notice["server"], notice["names"]) == ("mcp_tools_unusable", "s", ["hopeless"])
    await ask(compiled, "call good {}")
    assert (api.refusals, server.calls, offered(api.requests[0])) == ([], [("good", {})], ["good"])
    assert "hopeless" in str(api.requests[0])


async def test_more_tools_than_a_provider_takes_are_left_out_and_named(
    strict_openai: Any, raw_mcp: Any, configure: Any, ask: Any
) -> None:
    server = raw_mcp([tool(f"t{number}", description="x" * 3000) for number in range(150)])
    compiled = await graph(configure(("s", server.url), model_name="openai:gpt-test"))
    await ask(compiled, "hello")
    assert len(strict_openai.requests[0]["tools"]) == 128
    assert compiled.notices[0]["names"] == [f"t{number}" for number in range(128, 150)]
    assert "at most 128 tools" in compiled.notices[0]["detail"]


async def test_tools_that_fill_the_context_of_a_model_are_left_out_and_named(
    provider: Provider, raw_mcp: Any, configure: Any, ask: Any
) -> None:
    model, api = provider
    large = {"type": "object", "properties": {"a": {"description": "x" * 90_000}}}
    server = raw_mcp([*[tool(f"large{number}", large) for number in range(9)], tool("small")])
    compiled = await graph(configure(("s", server.url), model_name=model))
    await ask(compiled, "hello")
    assert offered(api.requests[0]) == ["large0", "large1", "large2", "large3", "large4", "small"]
    assert compiled.notices[0]["names"] == ["large5", "large6", "large7", "large8"]


def thread_of(compiled: Any) -> tuple[Any, Any]:
    return compiled.copy({"checkpointer": InMemorySaver()}), {"configurable": {"thread_id": "t"}}


async def test_a_conversation_that_stopped_before_its_tools_goes_on(
    provider: Provider, raw_mcp: Any, configure: Any
) -> None:
    model, api = provider
    server = raw_mcp([tool("one"), tool("two")])
    compiled, thread = thread_of(await graph(configure(("s", server.url), model_name=model)))
    asked = {"messages": [("user", "call one {} and call two {}")]}
    with pytest.raises(Exception, match="recursion"):
        await compiled.ainvoke(asked, {**thread, "recursion_limit": 1})
    state = await compiled.ainvoke({"messages": [("user", "hello")]}, thread)
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "tool", "human", "ai"]
    assert {message.content for message in state["messages"][2:4]} == {NOT_FINISHED}
    assert (state["messages"][-1].text, api.refusals, server.calls) == ("fine", [], [])
    assert [one.id for one in (await compiled.aget_state(thread)).values["messages"]] == [
        one.id for one in state["messages"]
    ]


async def test_a_run_that_only_continues_runs_its_open_calls(provider: Provider, raw_mcp: Any, configure: Any) -> None:
    model, api = provider
    server = raw_mcp([tool("one")])
    compiled, thread = thread_of(await graph(configure(("s", server.url), model_name=model)))
    with pytest.raises(Exception, match="recursion"):
        await compiled.ainvoke({"messages": [("user", "call one {}")]}, {**thread, "recursion_limit": 1})
    state = await compiled.ainvoke(None, thread)
    assert (state["messages"][-1].text, api.refusals, server.calls) == ("done", [], [("one", {})])


async def test_a_history_that_a_client_brings_is_made_acceptable(
    provider: Provider, raw_mcp: Any, configure: Any
) -> None:
    model, api = provider
    server = raw_mcp([tool("good")])
    call = {"name": "files.read", "args": {"n": float("nan"), "t": "\ud83d"}, "id": "a b c" * 20, "type": "tool_call"}
    history = [
        {"role": "user", "content": "first"},
        {"role": "tool", "content": "an answer to nothing", "tool_call_id": "nobody"},
        {"role": "assistant", "content": "", "tool_calls": [call, {**call, "id": "twice"}, {**call, "id": "late"}]},
        {"role": "tool", "content": "one", "tool_call_id": "twice"},
        {"role": "tool", "content": "two", "tool_call_id": "twice"},
        {"role": "user", "content": ""},
        {"role": "tool", "content": "", "tool_call_id": "late"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": " "}, "half \ud83d"]},
        {"role": "function", "name": "old", "content": "way"},
        {"role": "system", "content": "Be kind."},
        {"role": "assistant", "content": "", "tool_calls": [{**call, "id": "twice"}]},
        {"role": "user", "content": "last"},
    ]
    compiled = await graph(configure(("s", server.url), model_name=model, system_prompt="Be brief."))
    state = await compiled.ainvoke({"messages": history})
    assert (state["messages"][-1].text, api.refusals) == ("fine", [])


BLOCKS: dict[str, Any] = {
    "a kind that does not exist": {"type": "robot", "depth": 3},
    "no kind": {"depth": 3},
    "an image without data": {"type": "image"},
    "an image that is none": {"type": "image", "base64": "aGk=", "mime_type": "image/png"},
    "an image that is no base64": {"type": "image", "base64": "%%%", "mime_type": "image/png"},
    "a link to a file": {"type": "file", "url": "https://example.com/a.pdf", "mime_type": "application/pdf"},
    "a video": {"type": "video", "base64": "aGk=", "mime_type": "video/mp4"},
    "audio without data": {"type": "audio", "mime_type": "audio/wav"},
    "an image_url without one": {"type": "image_url"},
    "text without text": {"type": "text"},
    "text that is a number": {"type": "text", "text": 5},
    "a thought": {"type": "redacted_thinking", "data": "x"},
    "a call": {"type": "tool_use", "id": "a", "name": "b", "input": {}},
    "a result": {"type": "tool_result", "tool_use_id": "a", "content": "b"},
    "plain text": "plain",
}


@pytest.mark.parametrize("what", BLOCKS)
@pytest.mark.parametrize("role", ["user", "assistant", "system"])
async def test_content_of_any_kind_in_a_message_does_not_end_the_conversation(
    provider: Provider, configure: Any, what: str, role: str
) -> None:
    model, api = provider
    if (role, what, model[:4]) == ("assistant", "a thought", "anth"):
        pytest.skip("the stand-in knows no thoughts")
    history = [
        {"role": "user", "content": "first"},
        {"role": role, "content": [BLOCKS[what], {"type": "text", "text": "second"}]},
        {"role": "user", "content": "last"},
    ]
    state = await (await graph(configure(model_name=model))).ainvoke({"messages": history})
    assert (state["messages"][-1].text, api.refusals) == ("fine", [])
    assert "second" in str(api.requests[0])


async def test_an_image_of_the_user_reaches_the_model(provider: Provider, configure: Any) -> None:
    model, api = provider
    for block in (
        {"type": "image", "base64": PNG, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    ):
        given = {"messages": [{"role": "user", "content": [block, {"type": "text", "text": "look"}]}]}
        await (await graph(configure(model_name=model))).ainvoke(given)
        assert PNG in str(api.requests[-1])
    assert api.refusals == []


async def test_a_conversation_with_tool_calls_goes_on_without_tools(provider: Provider, configure: Any) -> None:
    model, api = provider
    call = {"name": "gone", "args": {}, "id": "c", "type": "tool_call"}
    history = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "I look.", "tool_calls": [call]},
        {"role": "tool", "content": "seven", "tool_call_id": "c"},
        {"role": "user", "content": "and?"},
    ]
    state = await (await graph(configure(model_name=model))).ainvoke({"messages": history})
    assert (state["messages"][-1].text, api.refusals) == ("fine", [])
    assert "seven" in str(api.requests[0])


async def test_arguments_that_are_no_json_are_answered_and_the_conversation_goes_on(
    strict_openai: Any, raw_mcp: Any, configure: Any
) -> None:
    server = raw_mcp([tool("good")])
    strict_openai.script = [[ToolCall("good", '{"a": ')], "sorry", "fine"]
    compiled, thread = thread_of(await graph(configure(("s", server.url), model_name="openai:gpt-test")))
    for text in ("go", "again"):
        await compiled.ainvoke({"messages": [("user", text)]}, thread)
    assert (strict_openai.refusals, server.calls) == ([], [])


def test_the_stand_ins_refuse(strict_openai: Any, strict_anthropic: Any) -> None:
    import httpx

    bad = [{"type": "function", "function": {"name": "a.b", "parameters": OBJECT}}]
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": bad}
    answer = httpx.post(f"{strict_openai.base_url}/chat/completions", json=body, headers={"authorization": "Bearer x"})
    assert (answer.status_code, len(strict_openai.refusals)) == (400, 1)
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    named = {**body, "max_tokens": 5, "tools": [{"name": "a.b", "input_schema": OBJECT}]}
    assert httpx.post(f"{strict_anthropic.url}/v1/messages", json=named, headers=headers).status_code == 400
