"""Short forms of JSON Schema, for the schemas of answers."""

from __future__ import annotations

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

ANY: Schema = {}
TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
UUID: Schema = {"type": "string", "format": "uuid"}
TIME: Schema = {"type": "string", "format": "date-time"}
NULL: Schema = {"type": "null"}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def maybe(schema: Schema) -> Schema:
    """The schema, or null."""
    return {"anyOf": [schema, NULL]}


def many(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def record(**members: Schema) -> Schema:
    """An object that has all of these members. It may have more: a later version adds some."""
    return {"type": "object", "required": sorted(members), "properties": members}


def some_of(schema: Schema, **more: Schema) -> Schema:
    """An object with any of the members of `schema`: a client selects them."""
    return {"type": "object", "properties": {**schema["properties"], **more}}


def one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


TEXTS: Schema = many(TEXT)
CURSOR: Schema = maybe(TEXT)
"""Of the next page; null on the last one."""
