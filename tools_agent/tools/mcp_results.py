"""Read the answer to `tools/call`. A tool that ran is never told as failed because of its answer.

- Text, images, audio, files and links become LangChain's content blocks, which the conversation keeps for its user.
- A block of an unknown kind becomes a text block with its JSON.
- Structured content is kept as the artifact. Without any other text it is also the text that the model reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tools_agent.errors import ToolReportedError
from tools_agent.plain_values import json_text, plain

STRUCTURED = "structured_content"
CONTENT = "content"
NO_TEXT = "The tool reports an error without a description."

_BINARY = {"image": "image", "audio": "file"}
"""The type of block for a kind of content. LangChain takes no audio blocks in the messages of tools."""


def read_result(answer: Mapping[str, Any]) -> tuple[str | list[Any], dict[str, Any] | None]:
    """Return the content and the artifact of a tool message. Raises ToolReportedError for a result with `isError`."""
    blocks = [_block(part) for part in _parts(answer)]
    artifact = dict(_artifact(answer))
    if STRUCTURED in artifact and not _has_text(blocks):
        blocks.append({"type": "text", "text": json_text(artifact[STRUCTURED])})
    is_error = answer.get("isError") is True
    if is_error and not blocks:
        blocks = [{"type": "text", "text": NO_TEXT}]
    content = _joined(blocks)
    if is_error:
        raise ToolReportedError(content, artifact or None)
    return content, artifact or None


def _parts(answer: Mapping[str, Any]) -> list[Any]:
    content = answer.get("content")
    if content is None:
        return []
    return content if isinstance(content, list) else [content]


def _artifact(answer: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if answer.get("structuredContent") is not None:
        yield STRUCTURED, plain(answer["structuredContent"])
    unread = [plain(part) for part in _parts(answer) if not _is_whole_in_its_block(part)]
    if unread:
        yield CONTENT, unread


def _is_whole_in_its_block(part: Any) -> bool:
    """Whether the block of a part holds all that the part says."""
    if not isinstance(part, Mapping):
        return False
    if part.get("type") == "text":
        return isinstance(part.get("text"), str)
    return _media(part) is not None or _linked(part) is not None or _blob(part) is not None


def _block(part: Any) -> dict[str, Any]:
    if not isinstance(part, Mapping):
        return {"type": "text", "text": part if isinstance(part, str) else json_text(plain(part))}
    block = _text(part) or _media(part) or _linked(part) or _blob(part)
    return plain(block or {"type": "text", "text": json_text(plain(part))})  # type: ignore[no-any-return]


def _text(part: Mapping[str, Any]) -> dict[str, Any] | None:
    if part.get("type") == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    resource = _resource(part)
    return {"type": "text", "text": resource["text"]} if isinstance(resource.get("text"), str) else None


def _media(part: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = _BINARY.get(str(part.get("type")))
    if kind is None or not isinstance(part.get("data"), str):
        return None
    return {"type": kind, "base64": part["data"], **_typed(part)}


def _linked(part: Mapping[str, Any]) -> dict[str, Any] | None:
    if part.get("type") != "resource_link" or not isinstance(part.get("uri"), str):
        return None
    return {"type": _kind(part), "url": part["uri"], **_typed(part), **_described(part)}


def _blob(part: Mapping[str, Any]) -> dict[str, Any] | None:
    resource = _resource(part)
    if not isinstance(resource.get("blob"), str):
        return None
    return {"type": _kind(resource), "base64": resource["blob"], **_typed(resource), **_described(resource)}


def _resource(part: Mapping[str, Any]) -> Mapping[str, Any]:
    resource = part.get("resource")
    return resource if part.get("type") == "resource" and isinstance(resource, Mapping) else {}


def _kind(resource: Mapping[str, Any]) -> str:
    return "image" if str(resource.get("mimeType") or "").startswith("image/") else "file"


def _typed(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"mime_type": part["mimeType"]} if isinstance(part.get("mimeType"), str) else {}


def _described(part: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: part[key] for key in ("name", "title", "description", "uri", "size") if part.get(key) is not None}
    return {"extras": known} if known else {}


def _has_text(blocks: list[dict[str, Any]]) -> bool:
    return any(block["type"] == "text" and block["text"].strip() for block in blocks)


def _joined(blocks: list[dict[str, Any]]) -> str | list[Any]:
    """Return a result that consists of text as one string."""
    if all(block["type"] == "text" for block in blocks):
        return "\n".join(block["text"] for block in blocks)
    return blocks
