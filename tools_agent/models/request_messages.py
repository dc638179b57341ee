"""The messages of a request: a conversation in the form that the model's provider takes.

The conversation itself is not changed. It keeps every result, image and file for its user.

- Each tool call is followed by its one result. A call without a result gets one that says so, and a result without a
  call is left out.
- Names and ids of calls have the form that providers take, and ids are unique.
- A tool message is text, or text and images for a provider that takes them. Other content is described.
- Text has a form in UTF-8 and is not empty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from tools_agent.conversation import NOT_FINISHED
from tools_agent.plain_values import json_text, plain, whole_text

from .content import NO_CONTENT, described, is_taken, is_usable_image, text_of
from .providers import CALL_ID_LENGTH, NOT_IN_CALL_IDS, ProviderRules
from .tool_names import adapted, unique

MAX_IMAGES = 20
"""Images of tools in a request. Anthropic takes 100, and 32 MB in all."""

_CALL_BLOCKS = frozenset({"tool_use", "tool_call", "input_json_delta", "invalid_tool_call", "function_call"})
"""Blocks of an assistant's content that repeat its tool calls."""
_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_content"})
"""Blocks that only the provider that wrote them can read."""
_TEXT_ONLY = frozenset({"text"})


def request_messages(messages: Sequence[BaseMessage], rules: ProviderRules, *, has_tools: bool) -> list[AnyMessage]:
    """Return the messages that are sent to the provider."""
    paired: list[Any] = list(_paired(messages, rules))
    if rules.calls_need_tools and not has_tools:
        paired = [told for message in paired for told in _without_calls(message)]
    if rules.one_system_prompt:
        paired.sort(key=lambda message: not isinstance(message, SystemMessage))
    return paired


def _paired(messages: Sequence[BaseMessage], rules: ProviderRules) -> Iterator[BaseMessage]:
    results, taken = _Results(messages), set[str]()
    shown = _shown_images(messages, rules) if rules.takes_images_of_tools else frozenset()
    for at, message in enumerate(messages):
        match message:
            case ToolMessage():
                continue  # it follows its call
            case AIMessage():
                content = _content(message.content, rules.assistant_blocks, rules, empty="")
                yield from _with_results(at, message, content, results, taken, shown)
            case FunctionMessage():
                yield HumanMessage(content=f"The function {message.name} returned: {text_of(message.content)}")
            case _:
                kinds = _TEXT_ONLY if isinstance(message, SystemMessage) else rules.user_blocks
                yield message.model_copy(update={"content": _content(message.content, kinds, rules)})


def _with_results(
    at: int,
    message: AIMessage,
    content: str | list[Any],
    results: _Results,
    taken: set[str],
    shown: frozenset[int],
) -> Iterator[BaseMessage]:
    calls = [_call(call, taken) for call in _all_calls(message)]
    if not calls and not content:
        return
    extra = {key: value for key, value in message.additional_kwargs.items() if key != "tool_calls"}
    yield message.model_copy(
        update={"content": content, "tool_calls": calls, "invalid_tool_calls": [], "additional_kwargs": extra}
    )
    for given, call in zip(_all_calls(message), calls, strict=True):
        result = results.of(at, given["id"] or "")
        yield ToolMessage(
            content=NOT_FINISHED if result is None else _result_content(result, shown),
            name=call["name"],
            tool_call_id=call["id"],
            status="error" if result is None else result.status,
        )


class _Results:
    """The tool messages of a conversation, by the call that they answer."""

    def __init__(self, messages: Sequence[BaseMessage]) -> None:
        self._results: dict[str, list[tuple[int, ToolMessage]]] = defaultdict(list)
        self._calls: dict[str, list[int]] = defaultdict(list)
        for at, message in enumerate(messages):
            if isinstance(message, ToolMessage):
                self._results[message.tool_call_id].append((at, message))
            elif isinstance(message, AIMessage):
                for call in _all_calls(message):
                    self._calls[call["id"] or ""].append(at)

    def of(self, at: int, call_id: str) -> ToolMessage | None:
        """Return the last result between the call at `at` and the next call with that id."""
        end = min((other for other in self._calls[call_id] if other > at), default=None)
        found = [result for where, result in self._results[call_id] if where > at and (end is None or where < end)]
        return found[-1] if found else None


def _all_calls(message: AIMessage) -> list[Any]:
    """Return the calls of a message, also those whose arguments are no JSON."""
    broken = [
        {"name": call["name"] or "", "args": {"invalid_arguments": call["args"]}, "id": call["id"]}
        for call in message.invalid_tool_calls
    ]
    return [*message.tool_calls, *broken]


def _call(call: Any, taken: set[str]) -> Any:
    arguments = plain(call["args"])
    return {
        "name": adapted(call["name"]),
        "args": arguments,
        "id": _call_id(call["id"] or "", taken),
        "type": "tool_call",
    }


def _call_id(given: str, taken: set[str]) -> str:
    usable = given and len(given) <= CALL_ID_LENGTH and not NOT_IN_CALL_IDS.search(given)
    digest = blake2b(given.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    return unique(given if usable else f"call_{digest}", taken, "-", CALL_ID_LENGTH)


def _shown_images(messages: Sequence[BaseMessage], rules: ProviderRules) -> frozenset[int]:
    """Return the `id` of each block that is sent as an image: the newest ones that the provider can read."""
    blocks = [block for message in messages if isinstance(message, ToolMessage) for block in _blocks(message)]
    usable = (id(block) for block in reversed(blocks) if is_usable_image(block, rules.max_image_bytes))
    return frozenset(islice(usable, MAX_IMAGES))


def _blocks(message: ToolMessage) -> list[Any]:
    return message.content if isinstance(message.content, list) else []


def _result_content(result: ToolMessage, shown: frozenset[int]) -> str | list[Any]:
    blocks = _blocks(result)
    if not any(id(block) in shown for block in blocks):
        return text_of(result.content).strip() or NO_CONTENT
    told = [block if id(block) in shown else {"type": "text", "text": described(block)} for block in blocks]
    return [block for block in told if block["type"] == "image" or block["text"].strip()]


def _content(
    content: Any, kinds: frozenset[str] | None, rules: ProviderRules, empty: str = NO_CONTENT
) -> str | list[Any]:
    """Return the content of a user or an assistant without blocks that are empty or repeat a tool call."""
    if isinstance(content, str):
        return whole_text(content) if content.strip() else empty
    blocks = [block for each in content if (block := _block(each, kinds, rules)) is not None]
    return blocks or empty


def _block(block: Any, kinds: frozenset[str] | None, rules: ProviderRules) -> Any:
    if not isinstance(block, dict):
        block = {"type": "text", "text": str(block)}
    if block.get("type") in _CALL_BLOCKS:
        return None
    if not is_taken(block, kinds, rules):
        if block.get("type") in _THOUGHTS:
            return None
        block = {"type": "text", "text": described(block)}
    if block.get("type") != "text":
        return block
    text = block["text"]
    return {**block, "text": whole_text(text)} if isinstance(text, str) and text.strip() else None


def _without_calls(message: BaseMessage) -> Iterator[BaseMessage]:
    """Tell calls and results as text, for a request that offers no tools."""
    if isinstance(message, AIMessage) and message.tool_calls:
        calls = [f"(I called the tool {call['name']} with {json_text(call['args'])})" for call in message.tool_calls]
        text = "\n".join(filter(None, [text_of(message.content), *calls]))
        yield message.model_copy(update={"content": text, "tool_calls": []})
    elif isinstance(message, ToolMessage):
        yield HumanMessage(content=f"(The tool {message.name} answered: {text_of(message.content)})")
    else:
        yield message
