"""Bodies of /agents/manifests. Unknown fields are refused by name."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictBool

from robyn_server.core.json.bounded import JsonObject
from robyn_server.core.registry.state_schema import check_state_schema
from robyn_server.registry.schemas import Name, ShortString, ShortStrings

from .instances import StrictBody


def _state_schema(schema: dict[str, Any]) -> dict[str, Any]:
    check_state_schema(schema)
    return schema


class ManifestBody(StrictBody):
    """PUT resets the fields that are not given; PATCH keeps them."""

    agent_type: ShortString | None = None
    name: Name | None = None
    description: Annotated[str, Field(max_length=8192)] | None = None
    version: ShortString | None = None
    capabilities: ShortStrings = ()
    state_schema: Annotated[JsonObject, AfterValidator(_state_schema)] | None = None
    published: StrictBool = False

    def all_fields(self) -> dict[str, Any]:
        return self.model_dump()

    def given_fields(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)
