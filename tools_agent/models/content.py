"""Describe content that a model cannot take as text: its kind, name, type and size."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from tools_agent.notices import one_line
from tools_agent.plain_values import json_text, plain, whole_text

from .providers import IMAGE_TYPES, ProviderRules

NO_CONTENT = "(no content)"

_MEMBERS = {
    "text": ("text",),
    "image_url": ("image_url",),
    "input_audio": ("input_audio",),
    "image": ("base64", "url", "file_id", "source", "data"),
    "audio": ("base64", "data"),
    "file": ("base64", "url", "file_id", "data", "file"),
    "document": ("source",),
    "text-plain": ("text",),
}
"""Members of which a block of a kind has at least one."""

_SIGNATURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8"}


def text_of(content: Any) -> str:
    """Return `content` of a message as text, with a description of each block that is no text."""
    if isinstance(content, str):
        return whole_text(content)
    return "\n".join(described(block) for block in content)


def described(block: Any) -> str:
    """Return a text block's text, and one line about any other block."""
    if not isinstance(block, Mapping):
        return whole_text(str(block))
    if block.get("type") == "text":
        return whole_text(str(block.get("text", "")))
    extras = block.get("extras")
    known: Mapping[str, Any] = {**(extras if isinstance(extras, Mapping) else {}), **block}
    data = known.get("base64") or known.get("data")
    parts = [
        known.get("name") or known.get("title"),
        known.get("mime_type"),
        _size(data) if isinstance(data, str) else _bytes(known.get("size")),
        known.get("description"),
        known.get("url") or known.get("uri"),
    ]
    details = ", ".join(str(part) for part in parts if part)
    if not details:
        return f"[{one_line(json_text(plain(block)))}]"
    kind = known.get("type")
    return f"[{one_line(f'{kind}: {details}')}; the user can see it, you cannot]"


def is_taken(block: Mapping[str, Any], kinds: frozenset[str] | None, rules: ProviderRules) -> bool:
    """Whether the provider, and LangChain's client of it, take a block of a user or an assistant."""
    kind = block.get("type")
    if kinds is None:
        return True
    if kind not in kinds:
        return False
    members = _MEMBERS.get(str(kind))
    if members is not None and not any(isinstance(block.get(member), str | dict) for member in members):
        return False
    if kind == "image" and "base64" in block:
        return is_usable_image(block, rules.max_image_bytes)
    is_link = kind == "file" and "url" in block
    return rules.takes_links_to_files or not is_link


def is_usable_image(block: Any, max_bytes: int) -> bool:
    """Whether a provider that takes images takes this one: of a known type, with the bytes of that type, not too
    large."""
    if not isinstance(block, Mapping) or block.get("type") != "image" or not isinstance(block.get("base64"), str):
        return False
    kind = block.get("mime_type")
    if kind not in IMAGE_TYPES or len(block["base64"]) > max_bytes * 4 // 3:
        return False
    try:
        data = base64.b64decode(block["base64"], validate=True)
    except (binascii.Error, ValueError):
        return False
    if kind == "image/webp":
        return data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return data.startswith(_SIGNATURES[kind])


def _size(data: str) -> str | None:
    return _bytes(len(data.rstrip("=")) * 3 // 4)


def _bytes(size: Any) -> str | None:
    return f"{size:,} bytes" if isinstance(size, int) and not isinstance(size, bool) else None
