"""What agent sync needs of others. All of it is structural: any object of the right shape will do."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeGuard
from uuid import UUID

from robyn_server.core.catalogue import SyncAction, SyncOutcome


class CataloguePool(Protocol):
    """The catalogue's database; an asyncpg pool is one."""

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...
    async def execute(self, query: str, *args: Any) -> Any: ...


class AssistantsProtocol(Protocol):
    """`owner_id` says who asks.

    get: the assistant as a mapping or an object, or None (or core NotFound); the rows of `system` are found for everybody.
    create: raises core Conflict when the id is taken. update: replaces what the catalogue owns (core/catalogue.py) and keeps what
    others set; raises core Conflict when another replica has just written the same content. Both may raise core Superseded: a later
    reading of the agent (`metadata.synced_at`) has been applied.
    """

    async def get(self, assistant_id: str, owner_id: str) -> Any: ...
    async def create(self, payload: Mapping[str, Any], owner_id: str) -> Any: ...
    async def update(self, assistant_id: str, payload: Mapping[str, Any], owner_id: str) -> Any: ...


class AssistantStorageProtocol(Protocol):
    """A storage that also has a `ledger` (AgentSyncLedgerProtocol) keeps the books there, and else this process does.

    One that also has `bulk` (BulkAssistantsProtocol) is synced by the page; its ledger must then be its own.
    """

    @property
    def assistants(self) -> AssistantsProtocol: ...


class AgentSyncLedgerProtocol(Protocol):
    """The books: when each agent was last looked at, how that ended, which write-backs are still owed."""

    async def fresh(self, agent_id: UUID, ttl: timedelta, *, synced_at: datetime | None = None) -> bool:
        """Whether the agent was compared, well, within `ttl`. `synced_at`, the assistant's own word, is for ledgers that forget."""
        ...

    async def record(self, outcomes: Sequence[SyncOutcome]) -> None:
        """One line per agent, in one go. A failure leaves an owed write-back owed; MISSING is noted of known agents only."""
        ...

    async def pending_write_backs(self, limit: int) -> Sequence[tuple[UUID, UUID]]:
        """(agent, assistant) of write-backs that failed."""
        ...

    async def written_back(self, agent_ids: Sequence[UUID]) -> None:
        """Those write-backs are done. It is no check of the agents: their TTL is not renewed."""
        ...


class BulkAssistantsProtocol(Protocol):
    """A page of agents in one round trip, their lines in the ledger included. `owner_id` asks, and owns what is created."""

    async def unchanged(
        self, fingerprints: Mapping[UUID, bytes], owner_id: str, read_at: datetime | None = None
    ) -> AbstractSet[UUID]:
        """The agents whose fingerprint is the one that `apply` saw last, and whose assistant nobody has written or deleted since.

        They have been checked by this, and are noted as skipped; `read_at`: when, on the catalogue database's clock.
        """
        ...

    async def apply(self, page: Sequence[tuple[Mapping[str, Any], bytes]], owner_id: str) -> Mapping[UUID, SyncAction]:
        """Makes each assistant equal to its payload, remembers the fingerprint beside it, and notes the outcome: all, or nothing.

        Members' own keys stay, as with `update`. One of which a later reading was applied is skipped. An agent that is not in the answer was in somebody else's hands at this moment.
        Raises whatever is wrong with any one of the page; core Unavailable only when it has nothing to do with the page.
        """
        ...


class RetirementProtocol(Protocol):
    """Takes assistants out of service whose agents are gone: disabled, deleted, or out of scope. They come back with `create`/`update`."""

    async def clock(self) -> datetime:
        """The storage's own clock, by which it says when an assistant was written."""
        ...

    async def retire(self, agent_ids: Collection[UUID], read_at: datetime | None = None) -> int:
        """Returns how many were in service. `read_at`: when they were found gone; whom a later reading found stays."""
        ...

    async def retire_absent(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], before: datetime
    ) -> int:
        """Those of the catalogue in (after, last] that are not `present` and were written before `before`; None is no bound."""
        ...


class SharingProtocol(Protocol):
    """Takes out of service what is not an agent's way of being served any more: shared, or a copy for each user."""

    async def retire_shared(self, agent_ids: Collection[UUID]) -> int:
        """The shared assistants of these agents; users' copies stay. Returns how many agents were in service so."""
        ...

    async def retire_copies(self, agent_ids: Collection[UUID]) -> int:
        """Users' copies of these agents. Returns how many agents had one in service."""
        ...

    async def retire_absent_copies(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], before: datetime
    ) -> int:
        """As `retire_absent`, of users' copies; bounds and `present` are ids of agents, and so is what is counted."""
        ...


class CopiesProtocol(Protocol):
    """Users' copies of template agents, all of an agent's at once. Where a storage has it in `copies`, its ledger has one line for
    an agent and all copies; else each copy has a line of its own, and is refreshed on its own."""

    async def agents(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """Agents that users have copies of, and those whose last look was a failure, by id."""
        ...

    async def update(self, payloads: Sequence[Mapping[str, Any]]) -> Mapping[UUID, SyncAction]:
        """Makes every copy of these agents equal to its agent's payload: all, or none. Members' own keys stay; retired ones come back.

        Answers for the agents that have copies. Raises whatever is wrong with any one of them; core Unavailable only when it has
        nothing to do with them.
        """
        ...


class ReadingsProtocol(Protocol):
    """Of two readings of one agent the later one holds, whichever is applied last. A storage that can tell has it in `readings`."""

    async def claim(self, payload: Mapping[str, Any]) -> bool:
        """Whether `payload` is the latest reading so far; then no earlier one is applied from now on."""
        ...


def is_readings(candidate: Any) -> TypeGuard[ReadingsProtocol]:
    """Whether `candidate` has the method of the readings protocol, as a coroutine."""
    return inspect.iscoroutinefunction(getattr(candidate, "claim", None))


def is_sharing(candidate: Any) -> TypeGuard[SharingProtocol]:
    """Whether `candidate` has the methods of the sharing protocol, as coroutines."""
    methods = ("retire_shared", "retire_copies", "retire_absent_copies")
    return all(inspect.iscoroutinefunction(getattr(candidate, name, None)) for name in methods)


def is_copies(candidate: Any) -> TypeGuard[CopiesProtocol]:
    """Whether `candidate` has the methods of the copies protocol, as coroutines."""
    return all(inspect.iscoroutinefunction(getattr(candidate, name, None)) for name in ("agents", "update"))


def is_retirement(candidate: Any) -> TypeGuard[RetirementProtocol]:
    """Whether `candidate` has the methods of the retirement protocol, as coroutines."""
    methods = ("clock", "retire", "retire_absent")
    return all(inspect.iscoroutinefunction(getattr(candidate, name, None)) for name in methods)


def is_ledger(candidate: Any) -> TypeGuard[AgentSyncLedgerProtocol]:
    """Whether `candidate` has the methods of a ledger, as coroutines."""
    methods = ("fresh", "record", "pending_write_backs", "written_back")
    return all(inspect.iscoroutinefunction(getattr(candidate, name, None)) for name in methods)


def is_bulk(candidate: Any) -> TypeGuard[BulkAssistantsProtocol]:
    """Whether `candidate` has the methods of the bulk protocol, as coroutines."""
    return all(inspect.iscoroutinefunction(getattr(candidate, name, None)) for name in ("unchanged", "apply"))
