"""Rules of the public APIs of model providers. A single refused tool or message ends the whole request.

They are the rules that OpenAI's chat completions and Anthropic's messages apply. A provider without an entry gets the
strictest of both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

OPENAI_FAMILY = frozenset({"openai", "azure_openai", "deepseek", "together", "upstage", "xai"})
"""Clients built on langchain-openai."""

NAME_LENGTH = 64
NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
"""A name of a tool matches ^[a-zA-Z0-9_-]{1,64}$ everywhere."""

CALL_ID_LENGTH = 40
NOT_IN_CALL_IDS = NOT_IN_NAMES

IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


@dataclass(frozen=True, slots=True)
class ProviderRules:
    """`max_tools`, `description_length`: None means no limit."""

    max_tools: int | None = None
    description_length: int | None = None
    argument_name: re.Pattern[str] | None = None
    """The form of an argument's name."""
    takes_images_of_tools: bool = False
    """Whether a tool message may contain images. Otherwise it is text."""
    calls_need_tools: bool = False
    """Whether a conversation with tool calls is refused when the request offers no tools."""
    one_system_prompt: bool = False
    """Whether system messages must come first."""
    user_blocks: frozenset[str] | None = None
    """Kinds of content that a user's message may contain. None means that nobody knows."""
    assistant_blocks: frozenset[str] | None = None
    """The same for a message of the assistant."""
    takes_links_to_files: bool = False
    max_image_bytes: int = 3_500_000
    """Anthropic's limit is 5 MB of base64, OpenAI's is larger."""

    def with_room_for(self, tools: int) -> ProviderRules:
        """The rules for tools that share a request with so many others."""
        return self if self.max_tools is None else replace(self, max_tools=max(0, self.max_tools - tools))


_ARGUMENT_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_TEXT = frozenset({"text"})
_OPENAI = ProviderRules(
    max_tools=128,
    description_length=1024,
    user_blocks=frozenset({"text", "image", "image_url", "audio", "input_audio", "file"}),
    assistant_blocks=frozenset({"text", "refusal"}),
    max_image_bytes=20_000_000,
)
_ANTHROPIC = ProviderRules(
    argument_name=_ARGUMENT_NAME,
    takes_images_of_tools=True,
    calls_need_tools=True,
    one_system_prompt=True,
    user_blocks=frozenset({"text", "image", "image_url", "file", "document", "text-plain"}),
    assistant_blocks=frozenset({"text", "thinking", "redacted_thinking"}),
    takes_links_to_files=True,
)
_OFFLINE = ProviderRules(user_blocks=_TEXT, assistant_blocks=_TEXT)
_STRICTEST = ProviderRules(
    max_tools=128,
    description_length=1024,
    argument_name=_ARGUMENT_NAME,
    calls_need_tools=True,
    one_system_prompt=True,
)


def provider_of(model_name: str) -> str:
    """Return the provider as `init_chat_model` infers it; empty when it cannot."""
    prefix, colon, _ = model_name.partition(":")
    if colon:
        return prefix.replace("-", "_").lower()
    if re.match(r"(?:gpt-|o1|o3|chatgpt|text-davinci)", model_name.lower()):
        return "openai"
    return "anthropic" if model_name.lower().startswith("claude") else ""


def rules_of(model_name: str) -> ProviderRules:
    """Return the rules of the provider of a model."""
    provider = provider_of(model_name)
    if provider in OPENAI_FAMILY:
        return _OPENAI
    return {"anthropic": _ANTHROPIC, "offline": _OFFLINE}.get(provider, _STRICTEST)
