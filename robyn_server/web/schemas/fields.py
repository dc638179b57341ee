"""Types that several bodies share."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from robyn_server.core.errors import NotOffered

JsonObject = dict[str, Any]
Limit = Annotated[int, Field(ge=1, le=1000, strict=True)]
Offset = Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)]
SortOrder = Literal["asc", "desc"]
IfExists = Literal["raise", "do_nothing"]


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


class Body(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


def refuse(field: str, value: object) -> None:
    """Raises NotOffered for a field that is given and not built yet."""
    if value:
        raise NotOffered(f"'{field}' is not offered by this server yet.", field=field)
