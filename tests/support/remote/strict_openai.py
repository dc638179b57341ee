"""OpenAI's chat completions, as strict as the public API is reported to be. Set OPENAI_BASE_URL to `base_url`."""

from __future__ import annotations

import json
import re
from typing import Any

from remote.model_api import (
    Answer,
    ModelApi,
    Refused,
    check_arguments_schema,
    check_tool_name,
    check_unique,
    require,
)

MAX_TOOLS = 128
MAX_DESCRIPTION = 1024
MAX_CALL_ID = 40
_USER_PARTS = {"text": "text", "image_url": "image_url", "input_audio": "input_audio", "file": "file"}
_AUTHOR = re.compile(r"[^\s<|\\/>]+")


class StrictOpenAI(ModelApi):
    def __init__(self) -> None:
        super().__init__("/v1/chat/completions", check, last_user_text, render, render_error)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"


def render_error(message: str) -> Any:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}


def check(headers: Any, body: Any) -> None:
    require(str(headers["authorization"] or "").startswith("Bearer "), "You didn't provide an API key.")
    require(isinstance(body, dict) and isinstance(body.get("model"), str), "you must provide a model parameter")
    if "tools" in body:
        check_tools(body["tools"])
    messages = body.get("messages")
    require(isinstance(messages, list) and messages, "[] is too short - 'messages'")
    open_calls: set[str] = set()
    for at, message in enumerate(messages):
        open_calls = check_message(f"messages.[{at}]", message, open_calls)
    _require_answered(open_calls)


def check_tools(tools: Any) -> None:
    require(isinstance(tools, list) and tools, "[] is too short - 'tools'")
    require(len(tools) <= MAX_TOOLS, f"Invalid 'tools': array too long. Expected maximum length {MAX_TOOLS}")
    for at, tool in enumerate(tools):
        require(isinstance(tool, dict) and tool.get("type") == "function", f"tools[{at}].type: expected 'function'")
        function = tool["function"]
        check_tool_name(function.get("name"), f"Invalid 'tools[{at}].function.name'")
        description = function.get("description", "")
        require(isinstance(description, str), f"tools[{at}].function.description: expected a string")
        require(len(description) <= MAX_DESCRIPTION, f"Invalid 'tools[{at}].function.description': string too long")
        if "parameters" in function:
            check_arguments_schema(function["parameters"], f"Invalid schema for function '{function['name']}'")
    check_unique((tool["function"]["name"] for tool in tools), "tools")


def check_message(where: str, message: Any, open_calls: set[str]) -> set[str]:
    """Return the calls that are open after the message."""
    require(isinstance(message, dict), f"{where}: expected an object")
    role = message.get("role")
    if role == "tool":
        return _check_tool_message(where, message, open_calls)
    _require_answered(open_calls)
    if "name" in message:
        require(isinstance(message["name"], str) and _AUTHOR.fullmatch(message["name"]), f"Invalid '{where}.name'")
    match role:
        case "system" | "developer":
            _check_parts(where, message.get("content"), {"text": "text"})
        case "user":
            _check_parts(where, message.get("content"), _USER_PARTS)
        case "assistant":
            return _check_assistant(where, message)
        case _:
            raise Refused(f"Invalid value: {role!r}. Supported values are: 'system', 'assistant', 'user', 'tool'")
    return set()


def _require_answered(open_calls: set[str]) -> None:
    require(
        not open_calls,
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(sorted(open_calls))}",
    )


def _check_tool_message(where: str, message: Any, open_calls: set[str]) -> set[str]:
    require(open_calls, "messages with role 'tool' must be a response to a preceding message with 'tool_calls'.")
    called = message.get("tool_call_id")
    require(called in open_calls, f"{where}: Invalid parameter: 'tool_call_id' of '{called}' not found in 'tool_calls'")
    _check_parts(where, message.get("content"), {"text": "text"})
    return open_calls - {called}


def _check_assistant(where: str, message: Any) -> set[str]:
    calls = message.get("tool_calls")
    if calls is None:
        _check_parts(where, message.get("content"), {"text": "text", "refusal": "refusal"})
        return set()
    if message.get("content") is not None:
        _check_parts(where, message["content"], {"text": "text", "refusal": "refusal"})
    require(isinstance(calls, list) and calls, f"Invalid '{where}.tool_calls': empty array")
    for at, call in enumerate(calls):
        here = f"{where}.tool_calls[{at}]"
        require(isinstance(call.get("id"), str) and call["id"], f"Invalid '{here}.id': empty string")
        require(len(call["id"]) <= MAX_CALL_ID, f"Invalid '{here}.id': string too long")
        require(call.get("type") == "function", f"Invalid '{here}.type'")
        check_tool_name(call["function"].get("name"), f"Invalid '{here}.function.name'")
        require(isinstance(call["function"].get("arguments"), str), f"Invalid '{here}.function.arguments'")
    check_unique((call["id"] for call in calls), f"{where}.tool_calls")
    return {call["id"] for call in calls}


def _check_parts(where: str, content: Any, allowed: dict[str, str]) -> None:
    if isinstance(content, str):
        return
    require(isinstance(content, list) and content, f"Invalid value for 'content': expected a string, got {content!r}")
    for at, part in enumerate(content):
        here = f"Invalid '{where}.content[{at}]'"
        require(isinstance(part, dict), f"{here}: expected an object, got {type(part).__name__}")
        kind = part.get("type")
        require(kind in allowed, f"{here}: Invalid value: {kind!r}. Supported values are: {', '.join(allowed)}")
        require(set(part) - {"type"} == {allowed[kind]}, f"{here}: Unknown parameter in {sorted(part)}")
        value = part[allowed[kind]]
        if kind == "image_url":
            url = value.get("url", "") if isinstance(value, dict) else ""
            require(re.match(r"https?://|data:image/(png|jpeg|gif|webp);base64,", url), f"{here}: invalid image URL")
        elif kind in {"text", "refusal"}:
            require(isinstance(value, str), f"{here}.text: expected a string")


def last_user_text(body: Any) -> tuple[str, bool]:
    """Return the text of the last user message, and whether results of tools follow it."""
    messages = body["messages"]
    at = max(index for index, message in enumerate(messages) if message["role"] == "user")
    content = messages[at]["content"]
    text = content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)
    return text, any(message["role"] == "tool" for message in messages[at + 1 :])


def render(body: Any, answer: Answer, number: int) -> tuple[str, str]:
    if isinstance(answer, str):
        message: dict[str, Any] = {"content": answer}
    else:
        calls = [
            {
                "index": at,
                "id": f"call_{number}_{at}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.text},
            }
            for at, call in enumerate(answer)
        ]
        message = {"content": None, "tool_calls": calls}
    reason = "stop" if isinstance(answer, str) else "tool_calls"
    if body.get("stream"):
        parts = [{"role": "assistant", **message}, {}]
        choices = [{"index": 0, "delta": part, "finish_reason": None if part else reason} for part in parts]
        events = [json.dumps(_completion("chat.completion.chunk", choices=[choice])) for choice in choices]
        return "text/event-stream", "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return "application/json", json.dumps(_completion("chat.completion", choices=[choice], usage=usage))


def _completion(kind: str, **fields: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "gpt-test", **fields}
