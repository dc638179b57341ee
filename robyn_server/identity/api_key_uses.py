"""Write when API keys were last used: many keys in one statement, and never while a request waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

import structlog

from robyn_server.core.errors import AgenthallError

SECONDS = 5.0
"""Uses within this time travel in one statement."""

_log = structlog.get_logger(__name__)


class TouchesKeys(Protocol):
    async def touch(self, prefixes: Iterable[str]) -> None: ...


class ApiKeyUses:
    """Its one task lives while there are uses to write."""

    def __init__(self, keys: TouchesKeys, *, seconds: float = SECONDS) -> None:
        self._keys = keys
        self._seconds = seconds
        self._unwritten: set[str] = set()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def record(self, prefix: str) -> None:
        """Remember a use. Costs no statement and does not wait."""
        self._unwritten.add(prefix)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_soon(), name="record uses of API keys")

    async def stop(self) -> None:
        """Write what is left, if that takes at most a second."""
        self._stopping.set()
        if self._task is not None:
            _, late = await asyncio.wait([self._task], timeout=1.0)
            for task in late:
                task.cancel()

    async def _write_soon(self) -> None:
        while self._unwritten:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._stopping.wait()
            except TimeoutError:
                pass
            await self._write()

    async def _write(self) -> None:
        prefixes, self._unwritten = self._unwritten, set()
        try:
            await self._keys.touch(prefixes)
        except AgenthallError as error:
            _log.warning("uses of API keys were not written", keys=len(prefixes), error=str(error))
