"""Find the tool and the arguments that a request to the offline model asks for. Pure functions over text.

Rules
- "use the tool NAME" (any case; quotes or backticks around NAME; "the NAME tool"; "use NAME") asks for exactly that
  tool.
- The first JSON object in the text is the arguments, unchanged.
- Without JSON, an argument is the value after its name ("section 433", "code=BGB"). A required argument without one
  is the next quoted text (strings) or number (numbers), else, for strings, the rest of the sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

MAX_BRACES = 50
MATCHED_CHARACTERS = 4096
"""Only the beginning of a text is matched with tools: a megabyte would hold the event loop for 0.1 s."""

_VERB = r"(?:use|call|run|invoke|try|execute|apply)"
_NAME = r"[`'\"“‘]?(?P<name>[A-Za-z0-9_][\w.:/-]*)[`'\"”’]?"
_TOOL_FIRST = re.compile(rf"\b{_VERB}\s+(?:(?:the|your|a)\s+)?tool\s+(?:(?:named|called)\s+)?{_NAME}", re.IGNORECASE)
_TOOL_LAST = re.compile(rf"\b{_VERB}\s+(?:(?:the|your|a)\s+)?{_NAME}\s+tool\b", re.IGNORECASE)
_BARE = re.compile(rf"\b{_VERB}\s+(?:the\s+)?{_NAME}", re.IGNORECASE)
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|`([^`]+)`|(?<!\w)'([^']+)'(?!\w)")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")
_LEADING = re.compile(
    r"^(?:[\s,.:;–—-]+|(?:please|and|to|with|for|on|about|that|which|the|of|argument|arguments|search|find|look|up)\b\s*)+",
    re.IGNORECASE,
)
_NO_NAMES = frozenset(
    re.findall(r"\w+", "a an and at for from in it me my of on or that the this to what which with you your please")
)
_STOP_WORDS = _NO_NAMES | frozenset(
    re.findall(
        r"\w+",
        "about all any are because been but can could did does each every get give has have hello here how into its just "
        "know let like made make need not now our please say some tell than thank thanks them then there they tool tools "
        "use using want was were when where who will would yes built text texts return returns",
    )
)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as a model sees it. `parameters`: a JSON schema of type object."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] | None = None

    @property
    def properties(self) -> Mapping[str, Any]:
        return _mapping((self.parameters or {}).get("properties"))

    @property
    def required(self) -> Sequence[str]:
        return [name for name in (self.parameters or {}).get("required") or () if name in self.properties]


@dataclass(frozen=True, slots=True)
class RequestedTool:
    """`name`: as the request writes it. `tool`: None if there is no such tool. `rest`: the remaining text."""

    name: str
    tool: Tool | None
    rest: str


def find_requested_tool(text: str, tools: Sequence[Tool]) -> RequestedTool | None:
    """Return the tool that the text names. None: the text names no tool."""
    for pattern in (_TOOL_FIRST, _TOOL_LAST):
        for match in pattern.finditer(text):
            if requested := _requested_tool(text, match, tools):
                return requested
    return next(
        (
            requested
            for match in _BARE.finditer(text)
            if (requested := _requested_tool(text, match, tools)) and requested.tool
        ),
        None,
    )


def _requested_tool(text: str, match: re.Match[str], tools: Sequence[Tool]) -> RequestedTool | None:
    written = match["name"]
    for name in (written, written.rstrip(".:/-")):
        if tool := find_tool(name, tools):
            return RequestedTool(name, tool, _text_without(text, match))
    name = written.rstrip(".:/-")
    return None if name.lower() in _NO_NAMES else RequestedTool(name, None, _text_without(text, match))


def _text_without(text: str, match: re.Match[str]) -> str:
    return f"{text[: match.start()]} {text[match.end() :]}"


def find_tool(name: str, tools: Sequence[Tool]) -> Tool | None:
    """Find a tool by its exact name, else ignoring case if that is unambiguous."""
    exact = [tool for tool in tools if tool.name == name]
    alike = exact or [tool for tool in tools if tool.name.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def match_tool(text: str, tools: Sequence[Tool]) -> Tool | None:
    """Find the tool whose name and description share the most words with the text.

    A word of the name scores 2, a word of the description 1. The best tool needs a score of 2, higher than all others.
    """
    words = _words(text)
    ranked = sorted(
        ((_overlap(words, tool), tool.name, tool) for tool in tools), key=lambda rank: rank[:2], reverse=True
    )
    if not ranked or ranked[0][0] < 2:  # noqa: PLR2004  the rule in the docstring
        return None
    return None if len(ranked) > 1 and ranked[1][0] == ranked[0][0] else ranked[0][2]


def _overlap(words: frozenset[str], tool: Tool) -> int:
    named = _words(tool.name)
    return 2 * len(words & named) + len(words & (_words(tool.description) - named))


def _words(text: str) -> frozenset[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\W]+", " ", text[:MATCHED_CHARACTERS]).lower()
    return frozenset(_stem(word) for word in spaced.split() if len(word) > 2 and word not in _STOP_WORDS)  # noqa: PLR2004


def _stem(word: str) -> str:
    for ending in ("ings", "ing", "ies", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) > 3:  # noqa: PLR2004  "this" is not a plural
            return word.removesuffix(ending)
    return word


def arguments(tool: Tool, text: str) -> dict[str, Any]:
    """Return the arguments of `tool` that the text contains. Missing required ones are guessed from the text."""
    given = find_object(text)
    if given is not None:
        return given
    named = {name: value for name in tool.properties if (value := _value_after(name, text)) is not None}
    quoted, numbers = _quoted(text), _numbers(text)
    return {
        name: _value(_mapping(tool.properties[name]), named.get(name), quoted, numbers, _source_text(name, text))
        for name in tool.properties
        if name in tool.required or name in named
    }


def _source_text(name: str, text: str) -> str:
    """Return the part of the text that an argument may be made from: an identifier is a word, not a sentence."""
    if not re.fullmatch(r"(?:.*_)?(?:id|key|slug)", name, re.IGNORECASE):
        return text
    words = [word.strip(".,;:!?\"'`()") for word in text.split()]
    return next((word for word in words if re.search(r"\d", word)), words[-1] if words else text)


def find_object(text: str) -> dict[str, Any] | None:
    """Find the first JSON object, at one of the first braces only: each further brace costs a whole parse."""
    decoder = json.JSONDecoder()
    for start in islice((match.start() for match in re.finditer(r"\{", text)), MAX_BRACES):
        try:
            value, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return None


def _value_after(name: str, text: str) -> str | None:
    """Return the value after `name`. After a space it must be quoted, or have a digit or a capital letter."""
    words = r"[\s_]+".join(map(re.escape, name.split("_")))
    value = r"(?:\"([^\"]+)\"|'([^']+)'|`([^`]+)`|([^\s,;\"'`]+))"
    assigned = re.search(rf"\b{words}\s*[=:]\s*{value}", text, re.IGNORECASE)
    if match := assigned or re.search(rf"\b{words}\s+{value}", text, re.IGNORECASE):
        found = next(group for group in match.groups() if group)
        if assigned or match[4] is None or re.search(r"[\dA-Z]", found):
            return found.rstrip(".?!") or None
    return None


def _quoted(text: str) -> Iterator[str]:
    return (next(filter(None, match.groups())) for match in _QUOTED.finditer(text))


def _numbers(text: str) -> Iterator[float]:
    return (float(match[0]) for match in _NUMBER.finditer(_QUOTED.sub(" ", text)))


def _value(
    schema: Mapping[str, Any], named: str | None, quoted: Iterator[str], numbers: Iterator[float], text: str
) -> Any:
    if choices := _listed(schema.get("enum")):
        return next((choice for choice in choices if str(choice).lower() in text.lower()), choices[0])
    match _type(schema):
        case "integer":
            return int(_number(named, numbers))
        case "number":
            return _number(named, numbers)
        case "boolean":
            return (named or "true").lower() not in {"false", "no", "off", "0"}
        case "array":
            return _items(_mapping(schema.get("items")), quoted, numbers, text)
        case "object":
            return {}
        case "null":
            return None
        case _:
            return named or next(quoted, None) or remainder(text)


def _type(schema: Mapping[str, Any]) -> str:
    """Return the first JSON type that is not null, also within anyOf."""
    declared = schema.get("type")
    kinds = declared if isinstance(declared, list) else [declared] if declared else []
    kinds = kinds or [_type(_mapping(option)) for option in _listed(schema.get("anyOf"))]
    return next((kind for kind in kinds if kind != "null"), kinds[0] if kinds else "string")


def _listed(value: Any) -> list[Any]:
    """A list as it is; nothing for what a malformed schema has in its place."""
    return value if isinstance(value, list) else []


def _number(named: str | None, numbers: Iterator[float]) -> float:
    if named and (match := _NUMBER.search(named)):
        return float(match[0])
    return next(numbers, 0.0)


def _items(schema: Mapping[str, Any], quoted: Iterator[str], numbers: Iterator[float], text: str) -> list[Any]:
    match _type(schema):
        case "integer":
            return [int(number) for number in numbers]
        case "number":
            return list(numbers)
        case _:
            return list(quoted) or [remainder(text)]


def remainder(text: str) -> str:
    """Strip the lead-in and the closing punctuation. If nothing is left, return the whole text."""
    return _LEADING.sub("", text.strip()).strip(" \t\n.?!`'\"") or text.strip() or "?"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
