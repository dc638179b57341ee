"""Types shared by several bodies."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from robyn_server.core.errors import FieldNotOffered, Invalid
from robyn_server.core.ids import parse_uuid
from robyn_server.core.json import exact_json
from robyn_server.core.json.bounded import JsonList, JsonObject, Listed, Name
from robyn_server.core.json.nesting import is_deeper
from robyn_server.core.json.nul import has_nul, path_to_nul

Limit = Annotated[int, Field(ge=1, le=1000, strict=True)]
Offset = Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)]
SortOrder = Literal["asc", "desc"]
IfExists = Literal["raise", "do_nothing"]

MAX_DEPTH = 100
"""Levels of objects and lists in a body.

The stored value is wrapped a little deeper, and orjson writes at most 254 levels.
"""

_ORJSON_MAX_DEPTH = 254


def _uuid_of(what: str) -> BeforeValidator:
    """Raises Invalid with the wording of LangGraph's server, which pydantic does not produce."""
    return BeforeValidator(lambda value: None if value is None else parse_uuid(value, what))


def _checkpoint_id(value: object) -> str | None:
    return str(parse_uuid(value, "checkpoint ID")) if value else None


AssistantId = Annotated[UUID, _uuid_of("assistant ID")]
ThreadId = Annotated[UUID, _uuid_of("thread ID")]
RunId = Annotated[UUID, _uuid_of("run ID")]
CheckpointId = Annotated[str, Field(max_length=36), BeforeValidator(_checkpoint_id)]


class Part(BaseModel):
    """A nested object of a body. Its validator is built at the first use, so that the server starts sooner."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class Body(Part):
    """A whole request body. Refuses values that PostgreSQL cannot store (NUL, too deep nesting) before validation."""

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        wrapped = value
        for _ in range(_ORJSON_MAX_DEPTH - MAX_DEPTH):
            wrapped = [wrapped]
        try:
            text = orjson.dumps(wrapped, default=str)
        except TypeError:
            if is_deeper(value, MAX_DEPTH):
                raise Invalid(f"The request body is nested deeper than {MAX_DEPTH} levels", code="too_deep") from None
            text = exact_json.dumps(value, default=str)
        if has_nul(text):
            field = ".".join(path_to_nul(value) or ())
            raise Invalid(f"{field}: Text must not contain the character NUL (\\u0000)", code="nul", field=field)
        return value


def refuse(field: str, value: object) -> None:
    """Raises FieldNotOffered for a given field that is not built yet. An empty list counts as not given."""
    if value is not None and value is not False and value != []:
        raise FieldNotOffered(f"'{field}' is not offered by this server yet.", field=field)


class SendBody(Part):
    node: Name
    input: Any = None


class CommandBody(Part):
    update: JsonObject | JsonList | None = None
    resume: Any = None
    goto: Name | SendBody | Listed[Name | SendBody] | None = None


class ConfigBody(Part):
    """The members of RunnableConfig that a client may set. The server sets callbacks, run ids and others."""

    tags: Listed[Name] | None = None
    metadata: JsonObject | None = None
    run_name: Name | None = None
    max_concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    recursion_limit: Annotated[int, Field(ge=1, le=10_000)] | None = None
    configurable: JsonObject | None = None

    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)
