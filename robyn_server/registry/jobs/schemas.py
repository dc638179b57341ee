"""Pydantic types of messages about jobs, shared by the HTTP bodies and the WebSocket parameters."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from robyn_server.core.errors import Invalid, TooLarge
from robyn_server.core.ids import find_uuid
from robyn_server.core.json.bounded import MAX_MEMBERS
from robyn_server.core.registry.job_events import SentEvent
from robyn_server.core.registry.jobs import (
    MAX_SLOTS,
    MAX_UNACKNOWLEDGED_BYTES,
    MAX_UNACKNOWLEDGED_EVENTS,
    JobEnd,
    JobEventName,
    JobState,
)
from robyn_server.storage.postgres.json import dump_json

MAX_ERROR_NAME, MAX_ERROR_MESSAGE, MAX_INTERRUPTS = 128, 8192, 64
_MAX_INTEGER = 2**31 - 1
_ENDS = ("result", "error", "interrupts", "cancelled")


def _uuid(value: Any) -> UUID:
    found = find_uuid(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a UUID")
    return found


def _result(value: Any) -> Any:
    if not (value is None or isinstance(value, dict | str)):
        raise ValueError("must be an object (a state update), a string (the answer) or null")
    if isinstance(value, dict) and len(value) > MAX_MEMBERS:
        raise ValueError(f"must have at most {MAX_MEMBERS} members")
    return value


Uuid = Annotated[UUID, BeforeValidator(_uuid)]
Attempt = Annotated[int, Field(ge=1, le=_MAX_INTEGER, strict=True)]
Slots = Annotated[int, Field(ge=0, le=MAX_SLOTS, strict=True)]
JobIds = Annotated[tuple[Uuid, ...], Field(max_length=MAX_SLOTS, fail_fast=True, strict=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NamedJob(_Part):
    job_id: Uuid
    attempt: Attempt


NamedJobs = Annotated[tuple[NamedJob, ...], Field(max_length=MAX_SLOTS, fail_fast=True, strict=False)]


class EventPart(_Part):
    event: JobEventName
    data: Any


class EventsFields(BaseModel):
    first_seq: Annotated[int, Field(ge=1, le=_MAX_INTEGER, strict=True)]
    events: Annotated[
        tuple[EventPart, ...],
        Field(min_length=1, max_length=MAX_UNACKNOWLEDGED_EVENTS, fail_fast=True, strict=False),
    ]

    @property
    def sent(self) -> list[SentEvent]:
        """Raises TooLarge for an event, or events together, that exceed the window."""
        found, total = [], 0
        for number, each in enumerate(self.events):
            event = SentEvent(each.event, dump_json(each.data).decode())
            total += event.size
            if event.size > MAX_UNACKNOWLEDGED_BYTES:
                raise _too_large(f"events.{number}.data")
            found.append(event)
        if total > MAX_UNACKNOWLEDGED_BYTES:
            raise _too_large("events")
        return found


class ErrorPart(_Part):
    """`retryable`: the job may be given to another instance, if its policy allows."""

    error: Annotated[str, Field(min_length=1, max_length=MAX_ERROR_NAME)]
    message: Annotated[str, Field(max_length=MAX_ERROR_MESSAGE)]
    retryable: StrictBool = False


class InterruptPart(_Part):
    value: Any
    id: Annotated[str, Field(min_length=1, max_length=MAX_ERROR_NAME)] | None = None


class FinishFields(BaseModel):
    """One of `result` (also null), `error`, `interrupts` and `cancelled` is given."""

    through_seq: Annotated[int, Field(ge=0, le=_MAX_INTEGER, strict=True)] = 0
    result: Annotated[Any, AfterValidator(_result)] = None
    error: ErrorPart | None = None
    interrupts: (
        Annotated[
            tuple[InterruptPart, ...], Field(min_length=1, max_length=MAX_INTERRUPTS, fail_fast=True, strict=False)
        ]
        | None
    ) = None
    cancelled: Literal[True] | None = None

    @property
    def end(self) -> JobEnd:
        """Raises Invalid unless exactly one end is given."""
        given = [name for name in _ENDS if name in self.model_fields_set]
        if len(given) != 1:
            raise Invalid(f"name one of {', '.join(_ENDS)}", field=given[1] if given else "result")
        if self.error is not None:
            return JobEnd(JobState.FAILED, error=self.error.model_dump(exclude_defaults=True))
        if self.interrupts is not None:
            interrupts = [each.model_dump(exclude_unset=True) for each in self.interrupts]
            return JobEnd(JobState.SUCCEEDED, interrupts=interrupts)
        if self.cancelled is not None:
            return JobEnd(JobState.CANCELLED)
        if given != ["result"]:
            raise Invalid(f"{given[0]}: must not be null", field=given[0])
        return JobEnd(JobState.SUCCEEDED, result=self.result)


def _too_large(field: str) -> TooLarge:
    return TooLarge(
        f"{field}: must have at most {MAX_UNACKNOWLEDGED_BYTES} bytes as JSON", code="events_too_large", field=field
    )
