"""Attributes of a model call: the known ones, and none that may hold a secret."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from robyn_server.tracing.message_content import input_messages, output_messages
from robyn_server.tracing.model_attributes import model_name, request_attributes, response_attributes


def test_a_request_is_told_by_its_known_arguments_only() -> None:
    metadata = {"ls_provider": "azure", "ls_model_name": "gpt-4o", "ls_max_tokens": 100, "ls_stop": ["END"]}
    invocation = {"model": "m", "top_p": 0.5, "seed": 7, "api_key": "sk-secret", "temperature": None, "extra": {"a": 1}}
    assert request_attributes(metadata, {"invocation_params": invocation}) == {
        "gen_ai.provider.name": "azure.ai.openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.stop_sequences": ["END"],
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.seed": 7,
    }


def test_a_model_without_metadata_is_told_by_what_it_is_invoked_with() -> None:
    assert model_name(None, {"invocation_params": {"model_name": "m"}}) == "m"
    assert model_name(None, {}) == ""
    assert request_attributes(None, {}) == {"gen_ai.provider.name": "_OTHER"}


def _answered(**fields: Any) -> LLMResult:
    return LLMResult(generations=[[ChatGeneration(message=AIMessage("hi", **fields))]])


def test_an_answer_is_told_by_its_usage_and_finish_reason() -> None:
    usage: Any = {
        "input_tokens": 9,
        "output_tokens": 4,
        "total_tokens": 13,
        "input_token_details": {"cache_read": 3, "cache_creation": 2},
        "output_token_details": {"reasoning": 1},
    }
    details = {"stop_reason": "end_turn", "model": "claude", "id": "msg_1"}
    assert response_attributes(_answered(usage_metadata=usage, response_metadata=details)) == {
        "gen_ai.response.model": "claude",
        "gen_ai.response.id": "msg_1",
        "gen_ai.response.finish_reasons": ["end_turn"],
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.usage.cache_creation.input_tokens": 2,
        "gen_ai.usage.reasoning.output_tokens": 1,
    }


def test_the_usage_of_an_older_client_is_read_too() -> None:
    result = LLMResult(
        generations=[[Generation(text="hi")]],
        llm_output={"token_usage": {"prompt_tokens": 5, "completion_tokens": 2}},
    )
    assert response_attributes(result) == {"gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 2}


def test_captured_messages_have_the_form_of_the_conventions() -> None:
    call = {"id": "c1", "name": "add", "args": {"a": 1}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [
        SystemMessage("be brief"),
        HumanMessage([{"type": "text", "text": "look"}, image]),
        AIMessage("", tool_calls=[call]),
        ToolMessage("3", tool_call_id="c1"),
    ]
    assert json.loads(input_messages([messages])) == [
        {"role": "system", "parts": [{"type": "text", "content": "be brief"}]},
        {"role": "user", "parts": [{"type": "text", "content": "look"}, {"type": "image_url"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "3"}]},
    ]
    assert json.loads(output_messages(_answered(response_metadata={"finish_reason": "stop"}))) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "hi"}], "finish_reason": "stop"}
    ]
