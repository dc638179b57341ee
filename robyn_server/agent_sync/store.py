"""The server's storage as agent sync needs it: three methods at least, a `SyncStore` at best.

Both are structural: any object of the right shape will do. `sync_store` is the one place that tells them apart, and
what comes out of it is always a `SyncStore`.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeGuard
from uuid import UUID
from weakref import WeakKeyDictionary

from robyn_server.core.catalogue.fields import AppliedAgent, SyncAction, SyncOutcome


class AssistantsProtocol(Protocol):
    """`owner_id` says who asks.

    get: the assistant as a mapping or an object, or None (or core NotFound). Every owner finds the rows of `system`.
    create: raises core Conflict when the id is taken.
    update: replaces the keys of the catalogue (`CATALOGUE_KEYS`) and keeps what others set. Raises core Conflict when
    another replica has just written the same content.
    create and update may raise core StaleRead: a later version of the agent (`metadata.synced_at`) was applied.
    """

    async def get(self, assistant_id: str, owner_id: str) -> Any: ...
    async def create(self, payload: Mapping[str, Any], owner_id: str) -> Any: ...
    async def update(self, assistant_id: str, payload: Mapping[str, Any], owner_id: str) -> Any: ...


class AssistantStorageProtocol(Protocol):
    """The least that agent sync works on. The ledger is then kept in this process, and nothing is ever retired."""

    @property
    def assistants(self) -> AssistantsProtocol: ...


class SyncStore(AssistantStorageProtocol, Protocol):
    """All that agent sync can use: ledger, pages in one statement, versions of reads, retirement, users' copies."""

    async def fresh(self, agent_id: UUID, ttl: timedelta, *, synced_at: datetime | None = None) -> bool:
        """Whether the agent was checked within `ttl` without a failure.

        `synced_at`, the assistant's own, is for ledgers that forget.
        """
        ...

    async def record(self, outcomes: Sequence[SyncOutcome]) -> None:
        """Write one line per agent, all or none.

        A failure keeps a pending write-back; MISSING is written of known agents only.
        """
        ...

    async def failing(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """Agents whose last sync failed, by id."""
        ...

    async def pending_write_backs(self, after: UUID | None, limit: int) -> Sequence[tuple[UUID, UUID]]:
        """(agent, assistant) of write-backs that failed, by the agent's id."""
        ...

    async def written_back(self, agent_ids: Sequence[UUID]) -> None:
        """Mark these write-backs as done. That is no check of the agents: their TTL is not renewed."""
        ...

    async def claim(self, payload: Mapping[str, Any]) -> bool:
        """Whether `payload` was read later than everything applied so far; nothing that was read earlier is applied
        from now on."""
        ...

    async def unchanged(
        self, fingerprints: Mapping[UUID, bytes], owner_id: str, read_at: datetime | None = None
    ) -> AbstractSet[UUID]:
        """The agents whose fingerprint `apply` saw last, and whose assistant nobody has written or deleted since.

        Records them as skipped; `read_at`: when, on the catalogue database's clock.
        """
        ...

    async def apply(
        self, page: Sequence[tuple[Mapping[str, Any], bytes]], owner_id: str
    ) -> Mapping[UUID, AppliedAgent]:
        """Make each assistant equal to its payload, keep the fingerprint beside it, and record the outcome: all or
        nothing.

        Members' own keys stay, as with `update`. An agent of which a later version was applied is skipped. An agent
        that is missing from the answer could not be had at this moment. `owner_id` asks, and owns what is created.
        Raises whatever is wrong with any one of the page; core Unavailable only when it has nothing to do with the
        page.
        """
        ...

    async def clock(self) -> datetime:
        """The store's own clock, by which it says when an assistant was written."""
        ...

    async def retire(self, agent_ids: Collection[UUID], read_at: datetime | None = None) -> int:
        """Take the assistants of these agents out of service; returns how many were in service. `create` and `update`
        bring them back.

        `read_at`: when the agents were found gone; an agent that a later read found stays.
        """
        ...

    async def retire_shared(self, agent_ids: Collection[UUID]) -> int:
        """As `retire`, for the shared assistants only; users' copies stay."""
        ...

    async def retire_copies(self, agent_ids: Collection[UUID]) -> int:
        """As `retire`, for users' copies only. Returns how many agents had a copy in service."""
        ...

    async def retire_absent(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], before: datetime
    ) -> int:
        """Retire shared assistants in (after, last] that are not `present` and were written before `before`; None is no
        bound."""
        ...

    async def retire_absent_copies(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], before: datetime
    ) -> int:
        """As `retire_absent`, for users' copies; bounds, `present` and the count are of agents."""
        ...

    async def copied_agents(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """Agents that users have copies of, and agents whose last sync failed, by id."""
        ...

    async def update_copies(self, payloads: Sequence[Mapping[str, Any]]) -> Mapping[UUID, SyncAction]:
        """Make every copy of these agents equal to its agent's payload: all or none. Members' own keys stay; retired
        copies come back.

        Answers for the agents that have copies. Raises as `apply` does.
        """
        ...

    def copy_ledger_id(self, agent_id: UUID, copy_id: UUID) -> UUID:
        """The ledger line of a user's copy: the agent's where `update_copies` updates all of them, else the copy's
        own."""
        ...


_METHODS = (
    "fresh",
    "record",
    "failing",
    "pending_write_backs",
    "written_back",
    "claim",
    "unchanged",
    "apply",
    "clock",
    "retire",
    "retire_shared",
    "retire_copies",
    "retire_absent",
    "retire_absent_copies",
    "copied_agents",
    "update_copies",
)


def sync_store(storage: AssistantStorageProtocol) -> SyncStore:
    """The storage itself where it is a `SyncStore`, else an adapter over its three methods."""
    return storage if _is_sync_store(storage) else PlainStore(storage.assistants)


def _is_sync_store(storage: AssistantStorageProtocol) -> TypeGuard[SyncStore]:
    # the class is asked, not the object: a mock has any attribute that one asks for
    return all(inspect.iscoroutinefunction(getattr(type(storage), name, None)) for name in _METHODS)


class InertStore:
    """The part of a `SyncStore` that has no effect: nothing is compared by fingerprint, retired, or updated for all
    users at once."""

    async def fresh(self, agent_id: UUID, ttl: timedelta, *, synced_at: datetime | None = None) -> bool:  # noqa: ARG002
        return False

    async def record(self, outcomes: Sequence[SyncOutcome]) -> None:
        pass

    async def failing(self, after: UUID | None, limit: int) -> Sequence[UUID]:  # noqa: ARG002
        return []

    async def pending_write_backs(self, after: UUID | None, limit: int) -> Sequence[tuple[UUID, UUID]]:  # noqa: ARG002
        return []

    async def written_back(self, agent_ids: Sequence[UUID]) -> None:
        pass

    async def claim(self, payload: Mapping[str, Any]) -> bool:  # noqa: ARG002
        return True

    async def unchanged(
        self,
        fingerprints: Mapping[UUID, bytes],  # noqa: ARG002
        owner_id: str,  # noqa: ARG002
        read_at: datetime | None = None,  # noqa: ARG002
    ) -> frozenset[UUID]:
        return frozenset()

    async def apply(
        self,
        page: Sequence[tuple[Mapping[str, Any], bytes]],  # noqa: ARG002
        owner_id: str,  # noqa: ARG002
    ) -> dict[UUID, AppliedAgent]:
        return {}

    async def clock(self) -> datetime:
        return datetime.now(UTC)

    async def retire(self, agent_ids: Collection[UUID], read_at: datetime | None = None) -> int:  # noqa: ARG002
        return 0

    async def retire_shared(self, agent_ids: Collection[UUID]) -> int:  # noqa: ARG002
        return 0

    retire_copies = retire_shared

    async def retire_absent(
        self,
        after: UUID | None,  # noqa: ARG002
        last: UUID | None,  # noqa: ARG002
        present: Collection[UUID],  # noqa: ARG002
        before: datetime,  # noqa: ARG002
    ) -> int:
        return 0

    retire_absent_copies = retire_absent

    async def copied_agents(self, after: UUID | None, limit: int) -> Sequence[UUID]:  # noqa: ARG002
        return []

    async def update_copies(self, payloads: Sequence[Mapping[str, Any]]) -> dict[UUID, SyncAction]:  # noqa: ARG002
        return {}

    def copy_ledger_id(self, agent_id: UUID, copy_id: UUID) -> UUID:  # noqa: ARG002
        return copy_id


SUCCEEDED = frozenset({SyncAction.CREATED, SyncAction.UPDATED, SyncAction.SKIPPED})


@dataclass(slots=True)
class _Ledger:
    lines: dict[UUID, tuple[float, SyncAction]] = field(default_factory=dict)
    pending: dict[UUID, UUID] = field(default_factory=dict)


_LEDGERS: WeakKeyDictionary[Any, _Ledger] = WeakKeyDictionary()


def _ledger_of(assistants: AssistantsProtocol) -> _Ledger:
    try:
        return _LEDGERS.setdefault(assistants, _Ledger())
    except TypeError:  # unhashable, or without weak references: then only `synced_at` tells
        return _Ledger()


class PlainStore(InertStore):
    """A `SyncStore` over a storage with three methods.

    The ledger lives in this process, as long as `assistants` does.
    """

    def __init__(self, assistants: AssistantsProtocol) -> None:
        self.assistants = assistants
        ledger = _ledger_of(assistants)
        self._lines = ledger.lines
        self._pending = ledger.pending

    async def fresh(self, agent_id: UUID, ttl: timedelta, *, synced_at: datetime | None = None) -> bool:
        if agent_id not in self._lines:
            # either side of now: a clock that runs ahead must not keep an agent fresh for ever
            return synced_at is not None and abs(datetime.now(UTC) - synced_at) < ttl
        checked_at, action = self._lines[agent_id]
        return action in SUCCEEDED and time.monotonic() - checked_at < ttl.total_seconds()

    async def record(self, outcomes: Sequence[SyncOutcome]) -> None:
        now = time.monotonic()
        for outcome in outcomes:
            if outcome.action is SyncAction.MISSING and outcome.agent_id not in self._lines:
                continue
            self._lines[outcome.agent_id] = (now, outcome.action)
            if outcome.write_back_pending and outcome.assistant_id is not None:
                self._pending[outcome.agent_id] = outcome.assistant_id
            elif outcome.action in SUCCEEDED:
                self._pending.pop(outcome.agent_id, None)

    async def pending_write_backs(self, after: UUID | None, limit: int) -> Sequence[tuple[UUID, UUID]]:
        present = [pair for pair in self._pending.items() if self._lines[pair[0]][1] is not SyncAction.MISSING]
        return sorted(pair for pair in present if after is None or pair[0] > after)[:limit]

    async def written_back(self, agent_ids: Sequence[UUID]) -> None:
        for agent_id in agent_ids:
            self._pending.pop(agent_id, None)
