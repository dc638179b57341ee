"""The offline model: what it understands, what it answers, how it streams."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from tools_agent.models.offline import offline_model
from tools_agent.models.replies import Call, reply
from tools_agent.models.requests import Tool, arguments, find_object, find_requested_tool, match_tool
from tools_agent.notices import split_notices, with_notices


def tool(name: str, description: str = "", required: list[str] | None = None, **properties: str) -> Tool:
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    return Tool(name, description, {**schema, "required": list(properties) if required is None else required})


SEARCH = tool("search_law", "Search the law: statutes about rent and theft.", query="string")
CITE = tool("cite_law", "Cite one section of a code.", code="string", section="string")
COUNT = tool("word_count", "Count the words of a text.", text="string")
ADD = tool("add", "Add two numbers.", a="integer", b="number")
TOOLS = [SEARCH, CITE, COUNT, ADD]

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{2,20}[A-Za-z0-9]", fullmatch=True).filter(
    lambda name: (
        name.lower() not in {"this", "that", "which", "what", "with", "your", "from", "please", "tool", "named"}
    )
)
verbs = st.sampled_from(["use", "call", "run", "Please use", "INVOKE", "Now, try"])
quotes = st.sampled_from(["", "`", '"', "'"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(verb=verbs, name=names, quote=quotes, change=st.sampled_from([str, str.upper, str.lower]))
def test_the_named_tool_is_the_one_called_in_any_case_and_any_quotes(verb, name, quote, change):
    asked = find_requested_tool(f"{verb} the tool {quote}{change(name)}{quote}, please.", [Tool("other"), Tool(name)])
    assert asked is not None
    assert asked.tool == Tool(name)


@given(name=names)
def test_the_name_may_stand_before_the_word_tool(name):
    asked = find_requested_tool(f"use the {name} tool", [Tool(name)])
    assert asked is not None
    assert asked.tool == Tool(name)


@given(name=names)
def test_a_tool_that_is_not_there_is_said_not_to_be_there(name):
    answer = reply([HumanMessage(f"use the tool zz{name}")], TOOLS)
    assert isinstance(answer, str)
    assert f"no tool named zz{name}" in answer
    assert "search_law, cite_law, word_count, add" in answer


@given(given_arguments=st.dictionaries(st.text(), json_values, max_size=4), before=st.text(), after=st.text())
def test_arguments_given_as_json_are_passed_untouched(given_arguments, before, after):
    text = f"{before.replace('{', '')} {json.dumps(given_arguments)} {after}"
    assert find_object(text) == given_arguments


@given(text=st.text(max_size=300))
def test_any_text_gets_an_answer_and_the_same_one_twice(text):
    first, second = (reply([HumanMessage(text)], TOOLS) for _ in range(2))
    assert first == second
    assert first


@given(text=st.text(max_size=200), schema=st.dictionaries(st.text(min_size=1), json_values, max_size=4))
@example(text="", schema={"a": {"enum": {"b": None}}})
@example(text="", schema={"a": {"enum": True}})
@example(text="", schema={"a": {"enum": "b"}})
@example(text="", schema={"a": {"anyOf": True}})
@example(text="", schema={"a": {"anyOf": [{"anyOf": {"b": 1}}]}})
@example(text="", schema={"a": {"type": {"b": 1}}})
def test_any_schema_gets_an_object_of_arguments(text, schema):
    for shape in (schema, {"properties": schema, "required": list(schema)}):
        assert isinstance(arguments(Tool("t", "", shape), text), dict)


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("Use the tool search_law to find theft", Call("search_law", {"query": "theft"})),
        ("use the tool `SEARCH_LAW`: rent in arrears?", Call("search_law", {"query": "rent in arrears"})),
        ("use search_law for 'stolen bicycles' now", Call("search_law", {"query": "stolen bicycles"})),
        ("use the tool cite_law with code BGB and section 433", Call("cite_law", {"code": "BGB", "section": "433"})),
        ("use the tool cite_law code=StGB, section=242.", Call("cite_law", {"code": "StGB", "section": "242"})),
        ('use the tool cite_law "BGB" "823"', Call("cite_law", {"code": "BGB", "section": "823"})),
        ("use the tool add 3 and 4.5", Call("add", {"a": 3, "b": 4.5})),
        ("call the word_count tool on 'one two three'", Call("word_count", {"text": "one two three"})),
        ("What does the law say about theft?", Call("search_law", {"query": "What does the law say about theft"})),
        ("Count the words of 'a b'", Call("word_count", {"text": "a b"})),
    ],
)
def test_arguments_come_from_the_sentence(text, call):
    assert reply([HumanMessage(text)], TOOLS) == call


@pytest.mark.parametrize("text", ["hello", "how are you today?", "thank you very much", "tell me a joke"])
def test_no_tool_is_chosen_without_a_clear_overlap(text):
    assert match_tool(text, TOOLS) is None


def test_a_sentence_that_names_no_tool_is_not_taken_to_name_one():
    assert find_requested_tool("please use the tool that you like", TOOLS) is None


def test_an_optional_argument_is_left_out_unless_named():
    optional = tool("find", required=["query"], query="string", limit="integer")
    assert arguments(optional, "cats") == {"query": "cats"}
    assert arguments(optional, "cats limit 3") == {"query": "cats limit 3", "limit": 3}


def test_results_of_tools_are_quoted():
    answer = reply([HumanMessage("x"), ToolMessage("42 is it", name="add", tool_call_id="1")], TOOLS)
    assert "add answered:\n\n> 42 is it" in answer


def test_a_failed_tool_is_said_to_have_failed():
    answer = reply([ToolMessage("no ink", name="add", tool_call_id="1", status="error")], TOOLS)
    assert "add failed:\n\n> no ink" in answer


def test_it_says_what_it_is_and_its_role():
    answer = reply([SystemMessage("You are a lawyer. Be kind."), HumanMessage("hello")], TOOLS)
    assert "offline model of Agenthall" in answer
    assert "no LLM" in answer
    assert "You are a lawyer." in answer
    assert "Be kind" not in answer
    assert "search_law" in answer


def test_it_remembers_what_was_said():
    said = [HumanMessage("my dog is Rex"), AIMessage("ok"), HumanMessage("it is sunny"), AIMessage("ok")]
    assert "my dog is Rex" in reply([*said, HumanMessage("What did I say first?")], ())
    assert "it is sunny" in reply([*said, HumanMessage("what did I just say?")], ())
    before = reply([*said, HumanMessage("what did I say before?")], ())
    assert "my dog is Rex" in before
    assert "it is sunny" in before
    assert "first thing" in reply([HumanMessage("what did I say first?")], ())


def test_what_is_missing_is_told_with_every_answer():
    prompt = with_notices(
        "Be kind.", [{"kind": "mcp_server_unavailable", "detail": "MCP server x is unavailable: dead"}]
    )
    answer = reply([SystemMessage(prompt), HumanMessage("hello")], ())
    assert "MCP server x is unavailable: dead" in answer
    assert split_notices(prompt) == ("Be kind.", ["MCP server x is unavailable: dead"])


async def test_it_streams_word_by_word_and_counts():
    chunks = [chunk async for chunk in offline_model("offline:demo").astream([HumanMessage("hello there")])]
    whole = sum(chunks[1:], chunks[0])
    assert len(chunks) > 10
    assert whole.text == reply([HumanMessage("hello there")], ())
    assert whole.usage_metadata["input_tokens"] == 2
    assert whole.usage_metadata["output_tokens"] > 10
    assert whole.response_metadata == {"model_name": "offline:demo", "finish_reason": "stop"}
    invoked = await offline_model("offline:demo").ainvoke([HumanMessage("hello there")])
    assert (invoked.text, invoked.usage_metadata) == (whole.text, whole.usage_metadata)


def test_it_streams_without_an_event_loop_too():
    model = offline_model("demo").bind_tools([{"name": "add", "description": "", "parameters": ADD.parameters}])
    answer = model.invoke("use the tool add with 1 and 2")
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("add", {"a": 1, "b": 2.0})]
    assert answer.response_metadata["finish_reason"] == "tool_calls"


async def test_the_slow_one_takes_its_time():
    started = time.monotonic()
    chunks = [chunk async for chunk in offline_model("offline:slow").astream("hello")]
    assert time.monotonic() - started >= 0.02 * (len(chunks) - 1)


@pytest.mark.parametrize(
    "text", ["what " * 200_000, "{" * 500_000, '{"a":' * 100_000, "-" * 1_000_000, " " * 1_000_000]
)
def test_a_megabyte_is_answered_soon(text):
    started = time.thread_time()
    assert reply([HumanMessage(f"use the tool search_law {text}")], TOOLS)
    assert reply([HumanMessage(text)], [tool("read", "", id="string", n="number"), *TOOLS])
    assert time.thread_time() - started < 20
