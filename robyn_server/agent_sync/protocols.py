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
    others set; raises core Conflict when another replica has just written the same content.
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

    async def unchanged(self, fingerprints: Mapping[UUID, bytes], owner_id: str) -> AbstractSet[UUID]:
        """The agents whose fingerprint is the one that `apply` saw last, and whose assistant nobody has written or deleted since.

        They have been checked by this, and are noted as skipped.
        """
        ...

    async def apply(self, page: Sequence[tuple[Mapping[str, Any], bytes]], owner_id: str) -> Mapping[UUID, SyncAction]:
        """Makes each assistant equal to its payload, remembers the fingerprint beside it, and notes the outcome: all, or nothing.

        Members' own keys stay, as with `update`. An agent that is not in the answer was in somebody else's hands at this moment.
        Raises whatever is wrong with any one of the page; core Unavailable only when it has nothing to do with the page.
        """
        ...


class RetirementProtocol(Protocol):
    """Takes assistants out of service whose agents are gone: disabled, deleted, or out of scope. They come back with `create`/`update`."""

    async def clock(self) -> datetime:
        """The storage's own clock, by which it says when an assistant was written."""
        ...

    async def retire(self, agent_ids: Collection[UUID]) -> int:
        """Returns how many were in service."""
        ...

    async def retire_absent(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], before: datetime
    ) -> int:
        """Those of the catalogue in (after, last] that are not `present` and were written before `before`; None is no bound."""
        ...


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
