"""Bodies of /agents/manifests. An unknown field is refused by name."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StrictBool

from .fields import Body
from .instances import Name, Word, Words


class ManifestBody(Body):
    """PUT: what is not given is unset. PATCH: it stays as it is."""

    model_config = ConfigDict(extra="forbid")

    agent_type: Word | None = None
    name: Name | None = None
    description: Annotated[str, Field(max_length=8192)] | None = None
    version: Word | None = None
    capabilities: Words = ()
    published: StrictBool = False

    def all_fields(self) -> dict[str, Any]:
        return self.model_dump()

    def given_fields(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)
