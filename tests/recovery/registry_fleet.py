"""Instances as they behave: each registers, beats, and comes back by itself when its connection or its server went away."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from live_server import until
from websockets.exceptions import InvalidHandshake, WebSocketException

sys.path.insert(0, str(Path(__file__).parent.parent / "sockets"))

from dialled import Refused, dial

BEAT = 1.0
AGENT = "fleet-agent"
_AWAY = (OSError, TimeoutError, WebSocketException, InvalidHandshake, httpx.TransportError)
"""What a client meets while its server is away."""

_COUNTS = """
select count(*) filter (where registration_status = 'active') as active, count(*) as all
  from mcp.agent_registrations where agent_id = 'fleet-agent'"""
_EVICTED = """
select count(*) from (select kind, agent_id from mcp.agent_events union all select kind, agent_id from mcp.agent_event_inbox) e
 where kind in ('stale', 'inactive') and agent_id = 'fleet-agent'"""


@dataclass(slots=True)
class Fleet:
    """`instances`: what each one does until it is cancelled, by its instance_id."""

    instances: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def add(self, instance_id: str, live: Coroutine[Any, Any, None]) -> None:
        self.instances[instance_id] = asyncio.create_task(live, name=instance_id)

    def kill(self, count: int) -> None:
        """They die without a word."""
        for name in list(self.instances)[:count]:
            self.instances.pop(name).cancel()

    def check(self) -> None:
        for name, task in self.instances.items():
            assert not task.done(), (name, task.exception())


async def over_socket(url: Callable[[], str], instance_id: str) -> None:
    while True:
        with contextlib.suppress(*_AWAY):
            await _one_connection(url(), instance_id)
        await asyncio.sleep(random.uniform(0.1, 0.5))


async def _one_connection(url: str, instance_id: str) -> None:
    async with dial(url) as socket:
        try:
            told = await socket.ask("agent.register", agent_id=AGENT, name=AGENT, instance_id=instance_id)
            while True:
                await _beat(socket, told)
                await asyncio.sleep(BEAT)
        except Refused as refused:
            if not _may_come_back(refused):
                raise
        finally:
            socket.drop()


async def _beat(socket: Any, told: dict[str, Any]) -> None:
    try:
        await socket.ask("agent.heartbeat", registration_id=told["registration_id"], epoch=told["epoch"])
    except Refused as refused:
        if not refused.error.get("retryable"):
            raise


def _may_come_back(refused: Refused) -> bool:
    """The server could not, or knows it no more: register again."""
    return bool(refused.error.get("retryable")) or refused.code == 4008


async def over_http(url: str, instance_id: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=120) as http:
        told: dict[str, Any] | None = None
        while True:
            with contextlib.suppress(*_AWAY):
                told = await (_register(http, instance_id) if told is None else _beat_over_http(http, told))
            await asyncio.sleep(BEAT)


async def _register(http: httpx.AsyncClient, instance_id: str) -> dict[str, Any] | None:
    answer = await http.post("/agents/instances", json={"agent_id": AGENT, "instance_id": instance_id})
    assert answer.status_code in (200, 201) or answer.status_code >= 500, answer.text
    return answer.json() if answer.is_success else None


async def _beat_over_http(http: httpx.AsyncClient, told: dict[str, Any]) -> dict[str, Any] | None:
    answer = await http.post(f"/agents/instances/{told['registration_id']}/heartbeat", json={"epoch": told["epoch"]})
    return None if answer.status_code in (404, 409, 410) else told


@dataclass(slots=True)
class Observer:
    """Looks at routing over and over, in the words of the documented view. `lows`: how few it ever saw, and how often it looked."""

    url: str
    expected: int
    fewest: int = 0
    looks: int = 0

    async def active(self) -> int:
        connection = await asyncpg.connect(self.url, timeout=60)
        try:
            return int((await connection.fetchrow(_COUNTS))["active"])  # type: ignore[index]
        finally:
            connection.terminate()

    async def all_active(self) -> bool:
        with contextlib.suppress(asyncpg.CannotConnectNowError):  # it is starting
            return await self.active() == self.expected
        return False

    async def evicted(self) -> int:
        """How many were ever written down as lapsed."""
        connection = await asyncpg.connect(self.url, timeout=60)
        try:
            return int(await connection.fetchval(_EVICTED))
        finally:
            connection.terminate()

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Meanwhile it looks, as long as the database answers."""
        self.fewest, self.looks = self.expected, 0
        task = asyncio.create_task(self._look())
        try:
            yield
            looks = self.looks
            await until(lambda: self.looks > looks + 2, 60)
        finally:
            task.cancel()

    async def _look(self) -> None:
        while True:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                self.fewest = min(self.fewest, await self.active())
                self.looks += 1
            await asyncio.sleep(0.2)
