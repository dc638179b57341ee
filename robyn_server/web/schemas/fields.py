"""Types that several bodies share."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from robyn_server.core.errors import NotOffered

JsonObject = dict[str, Any]
Limit = Annotated[int, Field(ge=1, le=1000, strict=True)]
Offset = Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)]
SortOrder = Literal["asc", "desc"]
IfExists = Literal["raise", "do_nothing"]

DEEPEST = 100
"""Levels of objects and lists in a body. What is stored is wrapped a little deeper, and orjson writes no more than 254 levels."""

_ORJSON_DEEPEST = 254
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def _uuid_of(what: str) -> BeforeValidator:
    def parse(value: object) -> object:
        if value is None or isinstance(value, UUID):
            return value
        try:
            return UUID(value if isinstance(value, str) else "")
        except ValueError:
            raise ValueError(f"Invalid {what}: must be a UUID") from None

    return BeforeValidator(parse)


AssistantId = Annotated[UUID, _uuid_of("assistant ID")]
ThreadId = Annotated[UUID, _uuid_of("thread ID")]


def _checkpoint_id(value: object) -> object:
    UUID(value if isinstance(value, str) else "")
    return value


def _checkpoint_id_or_none(value: object) -> object:
    try:
        return None if value is None or value == "" else _checkpoint_id(value)
    except ValueError:
        raise ValueError("Invalid checkpoint ID: must be a UUID") from None


CheckpointId = Annotated[str | None, BeforeValidator(_checkpoint_id_or_none)]


class Part(BaseModel):
    """An object within a body."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Body(Part):
    """A whole request body. Refuses what cannot be stored, before anything is looked at: PostgreSQL's text and jsonb hold no NUL."""

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        wrapped = value
        for _ in range(_ORJSON_DEEPEST - DEEPEST):
            wrapped = [wrapped]
        try:
            text = orjson.dumps(wrapped, default=str)
        except TypeError:
            raise ValueError(f"The request body is nested deeper than {DEEPEST} levels") from None
        if b"\\u0000" in text and _NUL.search(text):
            raise ValueError("Text must not contain the character NUL (\\u0000)")
        return value


def refuse(field: str, value: object) -> None:
    """Raises NotOffered for a field that is given and not built yet."""
    if value:
        raise NotOffered(f"'{field}' is not offered by this server yet.", field=field)
