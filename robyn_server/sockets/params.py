"""What each method takes. A member that a method does not know is refused by name, and a wrong one is named."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from robyn_server.core.errors import Invalid
from robyn_server.core.ids import find_uuid
from robyn_server.core.registry import (
    LARGEST_EPOCH,
    LONGEST_REASON,
    HealthStatus,
    InstanceChange,
    InstanceFilter,
    RegistrationStatus,
)

MOST_IN_A_PAGE = 100
SHOWN_PROBLEMS = 5


def _uuid(value: Any) -> UUID:
    found = find_uuid(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a UUID")
    return found


Uuid = Annotated[UUID, BeforeValidator(_uuid)]
Word = Annotated[str, Field(min_length=1, max_length=128)]
Words = Annotated[tuple[Word, ...], Field(max_length=64, strict=False)]
Health = Literal["starting", "healthy", "degraded", "unhealthy"]
Object = dict[str, Any]


class Params(BaseModel):
    """`tenant_id`: which tenant it is about; one that the credentials belong to. Unset: the socket's."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    tenant_id: Uuid | None = None


class Auth(Params):
    """The members `auth` of a first message, and the params of `auth` itself."""

    api_key: Annotated[str, Field(min_length=1, max_length=8192)] | None = None
    token: Annotated[str, Field(min_length=1, max_length=8192)] | None = None

    @property
    def credential(self) -> str:
        """Raises Invalid unless there is exactly one."""
        given = [each for each in (self.api_key, self.token) if each is not None]
        if len(given) != 1:
            raise Invalid("auth: name one of api_key and token", field="auth.api_key")
        return given[0]


class Change(Params):
    """What an instance says of itself, at first or later."""

    name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    capabilities: Words | None = None
    tags: Words | None = None
    zone: Word | None = None
    version: Word | None = None
    runtime_config: Object | None = None
    connection_details: Object | None = None


class Register(Change):
    """`resume_token` stands for agent_id and instance_id; then what is not given stays as it was."""

    agent_id: Word | None = None
    instance_id: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    agent_type: Word | None = None
    health: Health = "healthy"
    idempotency_key: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    resume_token: Annotated[str, Field(min_length=1, max_length=255)] | None = None


class OfRegistration(Params):
    """Which registration: unset, the only one of this socket. `epoch` unset: the one that this socket has registered with."""

    registration_id: Uuid | None = None
    epoch: Annotated[int, Field(ge=0, le=LARGEST_EPOCH)] | None = None


class Heartbeat(OfRegistration):
    health: Health | None = None
    load: Object | None = None
    metrics: Object | None = None


class Leaving(OfRegistration):
    reason: Annotated[str, Field(max_length=LONGEST_REASON)] | None = None


class Update(Change, OfRegistration):
    @property
    def change(self) -> InstanceChange:
        """Raises Invalid when there is nothing to change."""
        given = self.model_dump(include=set(Change.model_fields) - {"tenant_id"}, exclude_none=True)
        if not given:
            raise Invalid(
                "Nothing to change: name one of name, capabilities, tags, zone, version, runtime_config, connection_details"
            )
        return InstanceChange(**given)


class Which(Params):
    """All that is given must hold. `version` is a range of comparators, `>=1.2,<2`."""

    agent_id: Word | None = None
    capabilities: Words = ()
    tags: Words = ()
    zone: Word | None = None
    health: Literal["starting", "healthy", "degraded", "unhealthy", "stale"] | None = None
    version: Word | None = None
    free_slots: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_IN_A_PAGE)] = 50
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


class List(Which):
    """`status` unset: active ones."""

    status: Literal["active", "draining", "inactive"] | None = None


class Status(Params):
    """Without a registration: the socket's own state."""

    registration_id: Uuid | None = None


class Watch(Params):
    """`after`: the position of the last event that was seen; unset: from now on."""

    agent_id: Word | None = None
    capabilities: Words = ()
    after: Annotated[int, Field(ge=0, le=LARGEST_EPOCH)] | None = None

    @property
    def filter(self) -> InstanceFilter:
        return InstanceFilter(agent_id=self.agent_id, capabilities=self.capabilities)


class Unwatch(Params):
    watch_id: Annotated[str, Field(min_length=1, max_length=64)]


P = TypeVar("P", bound=Params)


def parse(model: type[P], given: dict[str, Any], *, at: str = "") -> P:
    """Raises Invalid naming the field, under `at`."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        sentences = [f"{_field(each, at)}: {_text(each)}" for each in problems[:SHOWN_PROBLEMS]]
        raise Invalid("; ".join(sentences), field=_field(problems[0], at)) from None


def _field(problem: Any, at: str) -> str:
    return ".".join(str(part)[:64] for part in ([at] if at else []) + list(problem["loc"]))


def _text(problem: Any) -> str:
    return (
        "no such parameter"
        if problem["type"] == "extra_forbidden"
        else str(problem["msg"]).removeprefix("Value error, ")
    )
