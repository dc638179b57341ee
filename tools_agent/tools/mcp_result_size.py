"""Cut the result of a tool to a size that a model can be given.

It stays in the thread's state and in every later prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tools_agent.plain_values import json_text

_BLOCK_OVERHEAD = 32
"""Characters that a block counts in addition, so that many empty blocks are cut, too."""


def cut_result(answer: dict[str, Any], limit: int) -> dict[str, Any]:
    """Return the answer to `tools/call` with at most `limit` characters of text, and a note to the model when something
    was cut.

    Images and other binary content are not cut: they are bounded by the size of an answer.
    """
    structured, content = answer.get("structuredContent"), answer.get("content")
    is_too_long = structured is not None and len(json_text(structured)) > limit
    blocks = content if isinstance(content, list) else [] if content is None else [content]
    kept, missing = _cut(blocks, limit)
    if not missing and not is_too_long:
        return answer
    cut = {**answer, "content": [*kept, {"type": "text", "text": _note(limit, missing)}]}
    if is_too_long:
        del cut["structuredContent"]
    return cut


def _cut(blocks: Sequence[Any], limit: int) -> tuple[list[Any], int]:
    """The blocks that fit, the last one shortened, and the number of characters that do not."""
    kept: list[Any] = []
    left, missing = limit, 0
    for block in blocks:
        left -= _BLOCK_OVERHEAD
        text = _text_of(block)
        if left <= 0:
            missing += len(text) or _BLOCK_OVERHEAD
        elif len(text) <= left:
            kept.append(block)
            left -= len(text)
        else:
            kept.append({"type": "text", "text": text[:left]})
            missing += len(text) - left
            left = 0
    return kept, missing


def _text_of(block: Any) -> str:
    """The text that the model would read of a block; empty for binary content."""
    if not isinstance(block, Mapping):
        return block if isinstance(block, str) else json_text(block)
    resource = block.get("resource")
    inner = resource if isinstance(resource, Mapping) else block
    if isinstance(inner.get("text"), str):
        return str(inner["text"])
    is_binary = isinstance(inner.get("blob"), str) or isinstance(block.get("data"), str)
    return "" if is_binary else json_text(block)


def _note(limit: int, missing: int) -> str:
    if not missing:
        return f"[The structured result is longer than {limit} characters and was left out (AGENTHALL_MCP_MAX_RESULT).]"
    return f"[The result was cut after {limit} characters; {missing} more are missing (AGENTHALL_MCP_MAX_RESULT).]"
