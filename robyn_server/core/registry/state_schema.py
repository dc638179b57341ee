"""State schemas: the properties that the state of an agent has beside its messages, as a JSON Schema.

Rules
  1. A schema is an object with `type: object` and `properties`. A property is a schema of its own; it may be anything.
  2. Each property becomes a channel of the graph, which holds the last value. So no member may be one that the graph
     would ignore, such as `required`, and no schema refers to another (`$ref`).
  3. `mcp.is_state_schema()` has the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from robyn_server.core.errors import Invalid

MAX_PROPERTIES = 256
_FIELD = "state_schema"
_MEMBERS = ("type", "properties", "title", "description", "$schema", "$comment")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}", re.ASCII)
_RESERVED = ("messages", "model_config")
_SERVER = "agenthall_"


def check_state_schema(schema: Mapping[str, Any]) -> None:
    """Raises Invalid naming the member that is wrong."""
    for name in schema:
        if name not in _MEMBERS:
            raise _invalid(f".{name}", f"is no member of a state schema; there are {', '.join(_MEMBERS)}")
    if schema.get("type") != "object":
        raise _invalid(".type", "must be 'object'")
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        raise _invalid(".properties", "must be an object")
    if len(properties) > MAX_PROPERTIES:
        raise _invalid(".properties", f"must have at most {MAX_PROPERTIES} members")
    for name, property_schema in properties.items():
        _check_property(name, property_schema)


def _check_property(name: str, schema: Any) -> None:
    path = f".properties.{name[:128]}"
    if not _NAME.fullmatch(name):
        raise _invalid(path, "must be a name of 1 to 128 letters, digits and underscores that begins with a letter")
    if name in _RESERVED or name.startswith(_SERVER):
        raise _invalid(path, "is reserved: the server has a member of this name")
    if not isinstance(schema, Mapping):
        raise _invalid(path, "must be an object, a schema")
    if any("$ref" in each for each in _objects(schema)):
        raise _invalid(path, "must not have a $ref; write the schema in its place")


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """The object and all objects in it. A request body is not deeper than 100 levels."""
    if isinstance(value, Mapping):
        yield value
    for each in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _objects(each)


def _invalid(path: str, rule: str) -> Invalid:
    return Invalid(f"{_FIELD}{path} {rule}", field=f"{_FIELD}{path}")
