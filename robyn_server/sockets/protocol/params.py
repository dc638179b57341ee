"""The parameters of each method. An unknown member is refused by name; an error names the wrong member."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from robyn_server.core.errors import Invalid
from robyn_server.core.json.json_terms import json_message
from robyn_server.core.registry.instances import (
    MAX_EPOCH,
    HealthStatus,
    InstanceFilter,
    RegistrationStatus,
    ReportableHealth,
)
from robyn_server.registry.jobs.schemas import JobIds, NamedJobs, Slots, Uuid
from robyn_server.registry.schemas import (
    Epoch,
    HeartbeatFields,
    InstanceFields,
    Name,
    Reason,
    ShortString,
    ShortStrings,
)

MAX_PAGE = 100
MAX_PROBLEMS = 5


class Params(BaseModel):
    """`tenant_id`: the organization that the message is about, one that the principal belongs to.

    Unset: that of the socket.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    tenant_id: Uuid | None = None


class AuthParams(Params):
    """The member `auth` of a first message, and the parameters of the method `auth`."""

    api_key: Annotated[str, Field(min_length=1, max_length=8192)] | None = None
    token: Annotated[str, Field(min_length=1, max_length=8192)] | None = None

    @property
    def credential(self) -> str:
        """Raises Invalid unless there is exactly one."""
        given = [each for each in (self.api_key, self.token) if each is not None]
        if len(given) != 1:
            raise Invalid("auth: name one of api_key and token", field="auth.api_key")
        return given[0]


class RegisterParams(InstanceFields, Params):
    """`resume_token` replaces agent_id and instance_id. Fields that are not given keep their value.

    `slots`: how many jobs the instance takes at a time; unset: none. `jobs`: those that it still has. `drain_reason`:
    it drains from the start.
    """

    agent_id: ShortString | None = None
    instance_id: Name | None = None
    agent_type: ShortString | None = None
    health: ReportableHealth = "healthy"
    idempotency_key: Name | None = None
    resume_token: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    slots: Slots | None = None
    jobs: JobIds | None = None
    drain_reason: Reason | None = None


class RegistrationParams(Params):
    """`registration_id` unset: the only one of this socket. `epoch` unset: that of the registration on this socket."""

    registration_id: Uuid | None = None
    epoch: Epoch | None = None


class HeartbeatParams(HeartbeatFields, RegistrationParams):
    """`jobs`: those whose leases are extended."""

    jobs: NamedJobs | None = None


class ReasonParams(RegistrationParams):
    reason: Reason | None = None


class UpdateParams(InstanceFields, RegistrationParams):
    pass


class DiscoverParams(Params):
    """Instances match all given conditions. `version` is a range of comparators: `>=1.2,<2`."""

    agent_id: ShortString | None = None
    capabilities: ShortStrings = ()
    tags: ShortStrings = ()
    zone: ShortString | None = None
    health: Literal[ReportableHealth, "stale"] | None = None
    version: ShortString | None = None
    free_slots: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
    cursor: Uuid | None = None

    def filter(self, status: RegistrationStatus | None = None) -> InstanceFilter:
        return InstanceFilter(
            agent_id=self.agent_id,
            capabilities=self.capabilities,
            tags=self.tags,
            zone=self.zone,
            health=None if self.health is None else HealthStatus(self.health),
            version=self.version,
            free_slots=self.free_slots,
            status=status,
        )


class ListParams(DiscoverParams):
    """`status` unset: instances that can be given work, as in `agent.discover`."""

    status: Literal["active", "draining", "inactive"] | None = None


class StatusParams(Params):
    """`registration_id` unset: the state of the socket."""

    registration_id: Uuid | None = None


class WatchParams(Params):
    """`after`: the position of the last event that the client saw; unset: from now on."""

    agent_id: ShortString | None = None
    capabilities: ShortStrings = ()
    tags: ShortStrings = ()
    zone: ShortString | None = None
    after: Annotated[int, Field(ge=0, le=MAX_EPOCH)] | None = None

    @property
    def filter(self) -> InstanceFilter:
        return InstanceFilter(agent_id=self.agent_id, capabilities=self.capabilities, tags=self.tags, zone=self.zone)


class UnwatchParams(Params):
    watch_id: Annotated[str, Field(min_length=1, max_length=64)]


P = TypeVar("P", bound=Params)


def parse(model: type[P], given: dict[str, Any], *, at: str = "") -> P:
    """Raises Invalid naming the field, under `at`."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        sentences = [f"{_field(each, at)}: {_text(each)}" for each in problems[:MAX_PROBLEMS]]
        raise Invalid("; ".join(sentences), field=_field(problems[0], at)) from None


def _field(problem: Any, at: str) -> str:
    return ".".join(str(part)[:64] for part in ([at] if at else []) + list(problem["loc"]))


def _text(problem: Any) -> str:
    return "no such parameter" if problem["type"] == "extra_forbidden" else json_message(problem)
