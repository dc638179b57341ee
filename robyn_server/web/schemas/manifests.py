"""Bodies of /agents/manifests. Unknown fields are refused by name."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StrictBool

from robyn_server.registry.schemas import Name, ShortString, ShortStrings

from .instances import StrictBody


class ManifestBody(StrictBody):
    """PUT resets the fields that are not given; PATCH keeps them."""

    agent_type: ShortString | None = None
    name: Name | None = None
    description: Annotated[str, Field(max_length=8192)] | None = None
    version: ShortString | None = None
    capabilities: ShortStrings = ()
    published: StrictBool = False

    def all_fields(self) -> dict[str, Any]:
        return self.model_dump()

    def given_fields(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)
