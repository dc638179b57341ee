"""Bodies of /agents/configurations. Unknown fields are refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StrictBool

from robyn_server.core.errors import Invalid
from robyn_server.core.json.bounded import JsonObject
from robyn_server.core.registry.version_range import parse_version_range
from robyn_server.registry.schemas import Name, ShortString, ShortStrings
from robyn_server.web.schemas.fields import Part

from .instances import StrictBody

_MAX_INTEGER = 2**31 - 1
_MAX_SECONDS = 30 * 86_400


def _version_range(text: str) -> str:
    try:
        parse_version_range(text)
    except Invalid as error:
        raise ValueError(str(error).removeprefix("version: ")) from None
    return text


VersionRangeText = Annotated[Name, AfterValidator(_version_range)]


class JobOptions(Part):
    """Options of the work that is given to instances. The migration `configured_execution` has the same rules.

    `retry`: whether a job whose instance was lost is given to another; `if_silent`: if it has streamed nothing yet.
    `schedule_to_start_seconds`: how long a job waits for an instance; 0 fails at once, null waits without a limit.
    `run_within_seconds`: how long an instance may take; null: no limit. `version`: a range, such as `>=1.2,<2`.
    `zone`: instances there are preferred.
    """

    model_config = ConfigDict(extra="forbid")

    retry: Literal["never", "if_silent", "always"] = "if_silent"
    max_attempts: Annotated[int, Field(ge=1, le=100, strict=True)] = 3
    schedule_to_start_seconds: Annotated[int, Field(ge=0, le=_MAX_SECONDS, strict=True)] | None = 60
    run_within_seconds: Annotated[int, Field(ge=1, le=_MAX_SECONDS, strict=True)] | None = None
    required_capabilities: ShortStrings = ()
    required_tags: ShortStrings = ()
    version: VersionRangeText | None = None
    zone: ShortString | None = None


class _Fields(StrictBody):
    """`max_workload`: the most runs of one instance; null: unlimited.

    `execution`: whether instances do the work, or this server; null: instances without a model and a prompt.
    """

    agent_type: ShortString | None = None
    model_id: Name | None = None
    temperature: Annotated[float, Field(ge=0, le=2, strict=True)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=_MAX_INTEGER, strict=True)] | None = None
    system_prompt: Annotated[str, Field(max_length=262144)] | None = None
    max_workload: Annotated[int, Field(ge=0, le=_MAX_INTEGER, strict=True)] | None = None
    capabilities: ShortStrings = ()
    configuration: Annotated[JsonObject, Field(default_factory=dict)]
    enabled: StrictBool = True
    execution: Literal["instances", "here"] | None = None
    jobs: Annotated[JobOptions, Field(default_factory=JobOptions)]


class ConfigurationPut(_Fields):
    """PUT resets the fields that are not given. The name defaults to the agent_id."""

    name: Name | None = None

    def all_fields(self) -> dict[str, Any]:
        return self.model_dump()


class ConfigurationPatch(_Fields):
    """PATCH keeps the fields that are not given, and the members of `jobs` that are not given."""

    name: Name = ""

    def given_fields(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)
