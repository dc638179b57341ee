"""Anthropic's messages, as strict as the public API is reported to be. Set ANTHROPIC_BASE_URL to `url`."""

from __future__ import annotations

import base64
import binascii
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

IMAGE_TYPES = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8", "image/webp": b"RIFF"}
_CALL_ID = re.compile(r"[a-zA-Z0-9_-]+")
_PROPERTY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_MEMBERS = {
    "text": {"text", "cache_control", "citations"},
    "image": {"source", "cache_control"},
    "document": {"source", "title", "context", "citations", "cache_control"},
    "tool_use": {"id", "name", "input", "cache_control"},
    "tool_result": {"tool_use_id", "content", "is_error", "cache_control"},
}
_KINDS = {"user": {"text", "image", "document", "tool_result"}, "assistant": {"text", "tool_use"}}


class StrictAnthropic(ModelApi):
    def __init__(self) -> None:
        super().__init__("/v1/messages", check, last_user_text, render, render_error)


def render_error(message: str) -> Any:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}


def check(headers: Any, body: Any) -> None:
    has_key = headers["x-api-key"] or str(headers["authorization"] or "").startswith("Bearer ")
    require(has_key, "x-api-key header is required")
    require(headers["anthropic-version"], "anthropic-version: header is required")
    require(isinstance(body, dict) and isinstance(body.get("model"), str), "model: Field required")
    limit = body.get("max_tokens")
    require(isinstance(limit, int) and limit >= 1, "max_tokens: Field required")
    for at, tool in enumerate(body.get("tools") or ()):
        _check_tool(f"tools.{at}", tool)
    check_unique((tool["name"] for tool in body.get("tools") or ()), "tools")
    if body.get("system") is not None:
        _check_blocks("system", body["system"], {"text"})
    _check_messages(body.get("messages"), has_tools=bool(body.get("tools")))


def _check_tool(where: str, tool: Any) -> None:
    check_tool_name(tool.get("name"), f"{where}.custom.name")
    description = tool.get("description", "")
    require(isinstance(description, str), f"{where}.custom.description: Input should be a valid string")
    check_arguments_schema(tool.get("input_schema"), f"{where}.custom.input_schema")
    for name in tool["input_schema"]["properties"]:
        require(
            _PROPERTY.fullmatch(name), f"{where}.custom.input_schema.properties: Property keys should match pattern"
        )


def _check_messages(messages: Any, *, has_tools: bool) -> None:
    require(isinstance(messages, list) and messages, "messages: at least one message is required")
    require(messages[0].get("role") == "user", 'messages: first message must use the "user" role')
    called: list[str] = []
    every: set[str] = set()
    for at, message in enumerate(messages):
        where, role = f"messages.{at}", message.get("role")
        require(role in _KINDS, f'messages: Unexpected role "{role}". Allowed roles are "user" or "assistant"')
        blocks = _check_blocks(
            f"{where}.content", message.get("content"), _KINDS[role], is_last=at == len(messages) - 1
        )
        kinds = {block["type"] for block in blocks}
        require(
            has_tools or not kinds & {"tool_use", "tool_result"}, "Requests which include tool blocks must define tools"
        )
        _check_results(where, blocks, called)
        called = [block["id"] for block in blocks if block["type"] == "tool_use"]
        require(not every & set(called) and len(set(called)) == len(called), "messages: `tool_use` ids must be unique")
        every |= set(called)
    require(not called, f"messages: `tool_use` ids were found without `tool_result` blocks: {', '.join(called)}")


def _check_results(where: str, blocks: list[Any], called: list[str]) -> None:
    results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    unknown = set(results) - set(called)
    require(not unknown, f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {sorted(unknown)}")
    require(len(set(results)) == len(results), f"{where}: each tool_use must have a single result")
    missing = set(called) - set(results)
    require(
        not missing,
        f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after: {sorted(missing)}",
    )
    first = [block["type"] for block in blocks[: len(results)]]
    require(set(first) <= {"tool_result"}, f"{where}: `tool_result` blocks must come first")


def _check_blocks(where: str, content: Any, allowed: set[str], *, is_last: bool = False) -> list[Any]:
    if isinstance(content, str):
        require(content.strip() or is_last, f"{where}: all messages must have non-empty content")
        return [{"type": "text", "text": content}]
    require(isinstance(content, list), f"{where}: Input should be a valid list")
    require(content or is_last, f"{where}: all messages must have non-empty content")
    for at, block in enumerate(content):
        here = f"{where}.{at}"
        kind = block.get("type") if isinstance(block, dict) else None
        require(kind in allowed, f"{here}: Input tag {kind!r} found does not match any of the expected tags: {allowed}")
        extra = set(block) - {"type"} - _MEMBERS[kind]
        require(not extra, f"{here}.{kind}: Extra inputs are not permitted: {sorted(extra)}")
        _check_block(here, block)
    return content


def _check_block(here: str, block: Any) -> None:
    match block["type"]:
        case "text":
            require(isinstance(block.get("text"), str), f"{here}.text.text: Field required")
            require(block["text"].strip(), f"{here}: text content blocks must be non-empty")
        case "image" | "document":
            _check_source(f"{here}.{block['type']}.source", block.get("source"), block["type"])
        case "tool_use":
            require(_CALL_ID.fullmatch(str(block.get("id"))), f"{here}.tool_use.id: String should match pattern")
            check_tool_name(block.get("name"), f"{here}.tool_use.name")
            require(isinstance(block.get("input"), dict), f"{here}.tool_use.input: Input should be a valid dictionary")
        case "tool_result":
            require(_CALL_ID.fullmatch(str(block.get("tool_use_id"))), f"{here}.tool_result.tool_use_id: invalid")
            if block.get("content"):
                _check_blocks(f"{here}.tool_result.content", block["content"], {"text", "image", "document"})


def _check_source(where: str, source: Any, kind: str) -> None:
    require(isinstance(source, dict), f"{where}: Field required")
    match source.get("type"):
        case "url":
            require(str(source.get("url")).startswith("https://"), f"{where}.url: Only HTTPS URLs are supported")
        case "base64":
            media = source.get("media_type")
            allowed = set(IMAGE_TYPES) if kind == "image" else {"application/pdf"}
            require(media in allowed, f"{where}.base64.media_type: Input should be one of {sorted(allowed)}")
            try:
                data = base64.b64decode(source.get("data", ""), validate=True)
            except binascii.Error:
                raise Refused(f"{where}.base64: invalid base64 data") from None
            start = IMAGE_TYPES.get(media, b"%PDF")
            require(data.startswith(start), f"{where}: Could not process {kind}")
        case "text":
            require(kind == "document" and isinstance(source.get("data"), str), f"{where}.text: invalid")
        case other:
            raise Refused(f"{where}: Input tag {other!r} found")


def last_user_text(body: Any) -> tuple[str, bool]:
    """Return the text of the last message of the user, and whether the request ends with results of tools."""
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content, False
    texts = [block["text"] for block in content if block["type"] == "text"]
    return " ".join(texts), not texts


def render(body: Any, answer: Answer, number: int) -> tuple[str, str]:
    if isinstance(answer, str):
        blocks: list[Any] = [{"type": "text", "text": answer}]
    else:
        blocks = [
            {"type": "tool_use", "id": f"toolu_{number}_{at}", "name": call.name, "input": json.loads(call.text)}
            for at, call in enumerate(answer)
        ]
    reason = "end_turn" if isinstance(answer, str) else "tool_use"
    message = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": blocks,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    if not body.get("stream"):
        return "application/json", json.dumps(message)
    return "text/event-stream", "".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in _events(message, blocks, reason)
    )


def _events(message: Any, blocks: list[Any], reason: str) -> list[Any]:
    events: list[Any] = [{"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}]
    for at, block in enumerate(blocks):
        if block["type"] == "text":
            start, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            start = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        events += [
            {"type": "content_block_start", "index": at, "content_block": start},
            {"type": "content_block_delta", "index": at, "delta": delta},
            {"type": "content_block_stop", "index": at},
        ]
    end = {"stop_reason": reason, "stop_sequence": None}
    return [
        *events,
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
