"""The context of a run, as the schema of its graph takes it.

LangGraph calls a schema that is a class with the members of the context, and fails where one is none of its own. A
context mirrors `configurable`, whose members need not be the schema's: those are left out here, and stay in
`configurable`.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Collection, Mapping
from typing import Any, is_typeddict

from pydantic import BaseModel


def context_for(schema: type[Any] | None, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a graph with this context schema is run with.

    It is empty, for defaults, where the schema has no member of `given`.
    """
    if schema is None:
        return dict(given) or None
    names = _members(schema)
    return dict(given) if names is None else {name: value for name, value in given.items() if name in names}


def _members(schema: type[Any]) -> Collection[str] | None:
    """The names that the schema takes. None: it takes any, or does not say."""
    if is_typeddict(schema):
        return frozenset(schema.__annotations__)
    if dataclasses.is_dataclass(schema):
        return inspect.signature(schema).parameters
    if isinstance(schema, type) and issubclass(schema, BaseModel) and schema.model_config.get("extra") == "forbid":
        return {each for name, field in schema.model_fields.items() for each in (name, field.alias or name)}
    return None
