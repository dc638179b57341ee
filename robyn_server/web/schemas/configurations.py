"""Bodies of /agents/configurations. Unknown fields are refused by name."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StrictBool

from robyn_server.core.json.bounded import JsonObject
from robyn_server.registry.schemas import Name, ShortString, ShortStrings

from .instances import StrictBody

_MAX_INTEGER = 2**31 - 1


class _Fields(StrictBody):
    """`max_workload`: the most runs of one instance; null: unlimited."""

    agent_type: ShortString | None = None
    model_id: Name | None = None
    temperature: Annotated[float, Field(ge=0, le=2, strict=True)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=_MAX_INTEGER, strict=True)] | None = None
    system_prompt: Annotated[str, Field(max_length=262144)] | None = None
    max_workload: Annotated[int, Field(ge=0, le=_MAX_INTEGER, strict=True)] | None = None
    capabilities: ShortStrings = ()
    configuration: Annotated[JsonObject, Field(default_factory=dict)]
    enabled: StrictBool = True


class ConfigurationPut(_Fields):
    """PUT resets the fields that are not given. The name defaults to the agent_id."""

    name: Name | None = None

    def all_fields(self) -> dict[str, Any]:
        return self.model_dump()


class ConfigurationPatch(_Fields):
    """PATCH keeps the fields that are not given."""

    name: Name = ""

    def given_fields(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)
