"""Adapt the schema of a tool's arguments to what model providers take.

MCP allows any JSON schema of type object, and servers send others as well. Providers refuse a whole request because of
one schema, for reasons that their clients do not check. So a schema is rewritten into a plain one. It may allow more
than before: the tool's server checks the arguments anyway.

- The top level is of type "object" with `properties`, without anyOf, oneOf, allOf, enum, const or not: their
  alternatives are merged.
- References are replaced by what they refer to; a reference to itself accepts anything.
- Keywords that are null are left out: some servers write an empty list or map that way.
- An array has `items`.
- The result is valid under JSON Schema 2020-12, has a form in JSON, and is not too large.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tools_agent.models.tool_names import adapted, unique
from tools_agent.notices import one_line
from tools_agent.plain_values import plain, unsendable

MAX_DEPTH = 40
MAX_NODES = 5_000
"""Limit of the parts of a schema after its references are replaced. They can double at each level."""
MAX_CHARACTERS = 100_000

_ALTERNATIVES = ("anyOf", "oneOf")
_COMBINATIONS = (*_ALTERNATIVES, "allOf")
_NOT_AT_THE_TOP = frozenset(
    {*_COMBINATIONS, "enum", "const", "not", "if", "then", "else", "$schema", "$id", "$comment"}
)
_NULLABLE = frozenset({"default", "const"})
_DEFINITIONS = ("$defs", "definitions")
_MAPS = frozenset({"properties", "patternProperties", "dependentSchemas", *_DEFINITIONS})
"""Keywords whose value maps names to schemas."""
_LISTS = frozenset({*_COMBINATIONS, "prefixItems"})
_SCHEMAS = frozenset(
    {
        "items",
        "additionalProperties",
        "unevaluatedProperties",
        "unevaluatedItems",
        "contains",
        "propertyNames",
        "not",
        "if",
        "then",
        "else",
    }
)


class SchemaUnusable(Exception):
    """A schema that no provider takes. Its text says why."""


def function_schema(schema: Any) -> dict[str, Any]:
    """Return the schema that is sent to a provider. Raises SchemaUnusable."""
    try:
        adapted = _with_properties(_Inlining(schema).inline(schema, ()))
        _check(adapted)
    except RecursionError:
        raise SchemaUnusable(f"it has more than {MAX_DEPTH} levels") from None
    return adapted


@dataclass(slots=True)
class _Inlining:
    """Copies a schema without references, null keywords and values that are no JSON."""

    root: Any
    nodes: int = field(default=0)

    def inline(self, schema: Any, refs: tuple[str, ...], depth: int = 0) -> Any:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise SchemaUnusable(f"it has more than {MAX_DEPTH} levels or {MAX_NODES} parts")
        if not isinstance(schema, Mapping):
            return schema
        if (ref := schema.get("$ref")) is not None:
            return self._referred(schema, ref, refs, depth)
        copied = {
            key: self._keyword(key, value, refs, depth + 1)
            for key, value in schema.items()
            if key not in _DEFINITIONS and (value is not None or key in _NULLABLE)
        }
        return _repaired(copied)

    def _referred(self, schema: Mapping[str, Any], ref: Any, refs: tuple[str, ...], depth: int) -> Any:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        if ref in refs:
            return self.inline(beside, refs, depth + 1)
        referred = self._resolve(ref)
        merged = {**referred, **beside} if isinstance(referred, Mapping) else referred
        return self.inline(merged, (*refs, ref), depth + 1)

    def _resolve(self, ref: Any) -> Any:
        if not isinstance(ref, str) or not ref.startswith("#"):
            raise SchemaUnusable(one_line(f"it refers to another document: {ref}"))
        found = self.root
        for part in filter(None, unquote(ref[1:]).split("/")):
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise SchemaUnusable(one_line(f"it refers to {ref}, which it does not have"))
        return found

    def _keyword(self, key: str, value: Any, refs: tuple[str, ...], depth: int) -> Any:
        if key in _MAPS and isinstance(value, Mapping):
            return {name: self.inline(each, refs, depth) for name, each in value.items() if each is not None}
        if (key in _LISTS or key == "items") and isinstance(value, list):
            return [self.inline(each, refs, depth) for each in value]
        if key in _SCHEMAS and isinstance(value, Mapping):
            return self.inline(value, refs, depth)
        return plain(value, MAX_DEPTH)


def _repaired(schema: dict[str, Any]) -> dict[str, Any]:
    """Write a schema of an older draft as one of 2020-12, and give an array its `items`."""
    if isinstance(schema.get("required"), bool):
        del schema["required"]
    if isinstance(items := schema.get("items"), list):
        schema["items"] = {"anyOf": items} if items else {}
    if "array" in _kinds(schema):
        schema.setdefault("items", {})
    return schema


def _kinds(schema: Mapping[str, Any], default: str = "") -> list[Any]:
    declared = schema.get("type", default)
    return declared if isinstance(declared, list) else [declared]


def _with_properties(schema: Any) -> dict[str, Any]:
    """Return `schema` as one object with `properties`. Raises SchemaUnusable."""
    if not isinstance(schema, Mapping):
        raise SchemaUnusable("it is no object")
    _require_object(schema)
    merged = {key: value for key, value in schema.items() if key not in _NOT_AT_THE_TOP}
    merged["type"] = "object"
    merged["properties"] = dict(_properties(schema))
    required = list(dict.fromkeys(_required(schema)))
    merged.pop("required", None)
    return merged | ({"required": required} if required else {})


def _require_object(schema: Mapping[str, Any]) -> None:
    if "object" not in _kinds(schema, "object"):
        raise SchemaUnusable(one_line(f"it is of type {json.dumps(schema['type'])}, not of type object"))
    for keyword in _ALTERNATIVES:
        options = _options(schema, keyword)
        if options and not any(_may_be_object(option) for option in options):
            raise SchemaUnusable(f"no alternative of its {keyword} is of type object")


def _may_be_object(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return schema is not False
    return "object" in _kinds(schema, "object")


def _options(schema: Mapping[str, Any], keyword: str) -> list[Any]:
    options = schema.get(keyword)
    return options if isinstance(options, list) else []


def _properties(schema: Any) -> Iterator[tuple[str, Any]]:
    """Yield the properties of an object and of its combinations. One that has several forms accepts any of them."""
    forms: dict[str, list[Any]] = {}
    for name, form in _all_properties(schema):
        known = forms.setdefault(name, [])
        if form not in known:
            known.append(form)
    for name, known in forms.items():
        yield name, known[0] if len(known) == 1 else {"anyOf": known}


def _all_properties(schema: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(schema, Mapping):
        return
    own = schema.get("properties", {})
    if not isinstance(own, Mapping):
        raise SchemaUnusable("its properties are no object")
    for name, form in own.items():
        if isinstance(form, bool):
            yield name, {} if form else {"not": {}}
        else:
            yield name, form
    for keyword in _COMBINATIONS:
        for option in _options(schema, keyword):
            yield from _all_properties(option)


def _required(schema: Any) -> Iterator[str]:
    """Yield the properties that every alternative requires."""
    if not isinstance(schema, Mapping):
        return
    own = schema.get("required", [])
    if not isinstance(own, list):
        raise SchemaUnusable("its list of required properties is none")
    yield from (name for name in own if isinstance(name, str))
    for option in _options(schema, "allOf"):
        yield from _required(option)
    for keyword in _ALTERNATIVES:
        common = [set(_required(option)) for option in _options(schema, keyword) if _may_be_object(option)]
        if common:
            yield from sorted(set.intersection(*common))


def with_argument_names(schema: dict[str, Any], form: re.Pattern[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Rename the arguments whose names a provider refuses. Return the schema and the original name of each new one."""
    properties: Mapping[str, Any] = schema["properties"]
    taken = {name for name in properties if form.fullmatch(name)}
    renamed = {name: unique(adapted(name), taken) for name in properties if not form.fullmatch(name)}
    if not renamed:
        return schema, {}
    changed = schema | {"properties": {renamed.get(name, name): each for name, each in properties.items()}}
    if "required" in schema:
        changed["required"] = [renamed.get(name, name) for name in schema["required"]]
    return changed, {new: name for name, new in renamed.items()}


def _check(schema: dict[str, Any]) -> None:
    from jsonschema import Draft202012Validator  # imported late: it takes 0.1 s
    from jsonschema.exceptions import SchemaError

    if problem := unsendable(schema):
        raise SchemaUnusable(one_line(problem))
    if len(json.dumps(schema)) > MAX_CHARACTERS:  # before the next check, which takes 0.2 ms for each part
        raise SchemaUnusable(f"it has more than {MAX_CHARACTERS:,} characters")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join(map(str, error.absolute_path)) or "it"
        raise SchemaUnusable(one_line(f"{where}: {error.message}")) from None
