"""Try pending write-backs again until the catalogue takes them.

Rules
  1. All of them are tried, a page at a time: a page that is refused holds up no other.
  2. After each round that leaves some, the next one is later, up to LONGEST_SECONDS.
"""

from __future__ import annotations

from uuid import UUID

from robyn_server.agent_sync import AgentSyncOptions, SyncStore, may_write_back, retry_page
from robyn_server.concurrency.periodic import Periodic
from robyn_server.storage.postgres.pools import Pool

RETRY_SECONDS = 5.0
LONGEST_SECONDS = 300.0
PAGE = 500


class WriteBacksPending(Exception):
    """`reason` is that of one of them."""

    def __init__(self, count: int, reason: str) -> None:
        super().__init__(f"{count} write-backs are pending still, one of them because {reason}")


class WriteBackRetry:
    def __init__(self, pool: Pool, store: SyncStore, options: AgentSyncOptions, every: float = RETRY_SECONDS) -> None:
        self._pool = pool
        self._store = store
        self._options = options
        self._worker = Periodic("pending write-backs", self.retry, every, longest=LONGEST_SECONDS)

    def start(self) -> None:
        self._worker.start()

    async def stop(self) -> None:
        await self._worker.stop()

    async def retry(self) -> None:
        """Raises WriteBacksPending where some are left, and Unavailable."""
        if not may_write_back(self._pool, self._options):
            return
        after: UUID | None = None
        failures = dict[UUID, str]()
        while True:
            page = await retry_page(self._pool, self._store, after, PAGE, self._options.source)
            failures |= page.failures
            if len(page.agent_ids) < PAGE:
                break
            after = page.agent_ids[-1]
        if failures:
            raise WriteBacksPending(len(failures), next(iter(failures.values())))
