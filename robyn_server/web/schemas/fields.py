"""Types that several bodies share."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from robyn_server.core.errors import Invalid, NotOffered
from robyn_server.core.ids import parse_uuid
from robyn_server.core.nul import has_nul, path_to_nul

JsonObject = dict[str, Any]
Limit = Annotated[int, Field(ge=1, le=1000, strict=True)]
Offset = Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)]
SortOrder = Literal["asc", "desc"]
IfExists = Literal["raise", "do_nothing"]

DEEPEST = 100
"""Levels of objects and lists in a body. What is stored is wrapped a little deeper, and orjson writes no more than 254 levels."""

_ORJSON_DEEPEST = 254


def _uuid_of(what: str) -> BeforeValidator:
    """Raises Invalid past pydantic, in the reference server's words."""
    return BeforeValidator(lambda value: None if value is None else parse_uuid(value, what))


def _checkpoint_id(value: object) -> str | None:
    return str(parse_uuid(value, "checkpoint ID")) if value else None


AssistantId = Annotated[UUID, _uuid_of("assistant ID")]
ThreadId = Annotated[UUID, _uuid_of("thread ID")]
CheckpointId = Annotated[str, BeforeValidator(_checkpoint_id)]


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
            raise Invalid(f"The request body is nested deeper than {DEEPEST} levels", code="too_deep") from None
        if has_nul(text):
            field = ".".join(path_to_nul(value) or ())
            raise Invalid(f"{field}: Text must not contain the character NUL (\\u0000)", code="nul", field=field)
        return value


def refuse(field: str, value: object) -> None:
    """Raises NotOffered for a field that is given and not built yet; an empty list asks for nothing."""
    if value is not None and value is not False and value != []:
        raise NotOffered(f"'{field}' is not offered by this server yet.", field=field)


class ConfigBody(Part):
    """What a client may say of a graph's RunnableConfig. Callbacks, run ids and the like are the server's."""

    tags: list[str] | None = None
    metadata: JsonObject | None = None
    run_name: str | None = None
    max_concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    recursion_limit: Annotated[int, Field(ge=1, le=10_000)] | None = None
    configurable: JsonObject | None = None

    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)
