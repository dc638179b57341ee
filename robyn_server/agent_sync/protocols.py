"""What agent sync needs of others. All of it is structural: any object of the right shape will do."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeGuard
from uuid import UUID

from robyn_server.core.catalogue import SyncOutcome


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
    """A storage that also has a `ledger` (AgentSyncLedgerProtocol) keeps the books there, and else this process does."""

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


def is_ledger(candidate: Any) -> TypeGuard[AgentSyncLedgerProtocol]:
    """Whether `candidate` has the methods of a ledger, as coroutines."""
    methods = ("fresh", "record", "pending_write_backs", "written_back")
    return all(inspect.iscoroutinefunction(getattr(candidate, name, None)) for name in methods)
