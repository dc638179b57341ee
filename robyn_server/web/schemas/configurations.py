"""Bodies of /agents/configurations. An unknown field is refused by name."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StrictBool

from .fields import Body, JsonObject
from .instances import Name, Word, Words

_LARGEST = 2**31 - 1


class _Fields(Body):
    """`max_workload`: of each instance; null: unlimited."""

    model_config = ConfigDict(extra="forbid")

    agent_type: Word | None = None
    model_id: Name | None = None
    temperature: Annotated[float, Field(ge=0, le=2, strict=True)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=_LARGEST, strict=True)] | None = None
    system_prompt: Annotated[str, Field(max_length=262144)] | None = None
    max_workload: Annotated[int, Field(ge=0, le=_LARGEST, strict=True)] | None = None
    capabilities: Words = ()
    configuration: Annotated[JsonObject, Field(default_factory=dict)]
    enabled: StrictBool = True


class ConfigurationPut(_Fields):
    """What is not given is unset; the name is then the agent_id."""

    name: Name | None = None

    def all_fields(self) -> dict[str, Any]:
        return self.model_dump()


class ConfigurationPatch(_Fields):
    """What is not given stays as it is."""

    name: Name = ""

    def given_fields(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)
