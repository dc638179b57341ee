"""Simulated instances, which register, send heartbeats and reconnect by themselves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
import httpx
from agenthall_client.connection.backoff import Backoff
from network.websocket_client import Refused, dial
from servers.live_server import until
from websockets.exceptions import InvalidHandshake, WebSocketException

HEARTBEAT_SECONDS = 2.0
_BACKOFF = 0.5, 3.0
"""Seconds to wait before connecting again, first and at most.

Hundreds of clients without backoff keep a server from starting.
"""

_ANSWER_SECONDS = 20.0
"""Seconds that a client waits for an answer before it reconnects."""

AGENT = "fleet-agent"
_CONNECTION_ERRORS = (OSError, TimeoutError, WebSocketException, InvalidHandshake, httpx.TransportError)
"""Errors of a client while its server is down."""

_COUNT_QUERY = """
select count(*) filter (where registration_status = 'active') as active, count(*) as all
  from mcp.agent_registrations where agent_id = 'fleet-agent'"""
_RENEWED_QUERY = """
select count(*) from mcp.agent_registrations
 where agent_id = 'fleet-agent' and registration_status = 'active' and last_health_check > $1"""
_EVICTED_QUERY = """
select e.instance ->> 'instance_id' as instance_id, e.kind,
       extract(epoch from e.at - (e.instance ->> 'last_health_check')::timestamptz)::real as silence
  from (select kind, agent_id, at, instance from mcp.agent_events
        union all select kind, agent_id, at, instance from mcp.agent_event_inbox) e
 where e.kind in ('stale', 'inactive') and e.agent_id = 'fleet-agent' and e.at > $1 order by e.at"""


@dataclass(slots=True)
class Fleet:
    """`instances`: the task of each instance, by instance_id."""

    instances: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def add(self, instance_id: str, live: Coroutine[Any, Any, None]) -> None:
        self.instances[instance_id] = asyncio.create_task(live, name=instance_id)

    def kill(self, count: int) -> None:
        """End instances without deregistering them."""
        for name in list(self.instances)[:count]:
            self.instances.pop(name).cancel()

    def check(self) -> None:
        for name, task in self.instances.items():
            assert not task.done(), (name, task.exception())


async def run_socket_instance(url: Callable[[], str], instance_id: str) -> None:
    backoff = Backoff(*_BACKOFF)
    while True:
        with contextlib.suppress(*_CONNECTION_ERRORS):
            await _run_connection(url(), instance_id, backoff)
        await asyncio.sleep(backoff.next_delay())


async def _run_connection(url: str, instance_id: str, backoff: Backoff) -> None:
    async with dial(url) as socket:
        try:
            registration = await _ask(socket, "agent.register", agent_id=AGENT, name=AGENT, instance_id=instance_id)
            backoff.reset()
            while True:
                await _send_heartbeat(socket, registration)
                await asyncio.sleep(HEARTBEAT_SECONDS)
        except Refused as refused:
            if not _must_register_again(refused):
                raise
        finally:
            socket.abort()


async def _send_heartbeat(socket: Any, registration: dict[str, Any]) -> None:
    try:
        await _ask(
            socket, "agent.heartbeat", registration_id=registration["registration_id"], epoch=registration["epoch"]
        )
    except Refused as refused:
        if not refused.error.get("retryable"):
            raise


async def _ask(socket: Any, method: str, **params: Any) -> Any:
    async with asyncio.timeout(_ANSWER_SECONDS):
        return await socket.ask(method, **params)


def _must_register_again(refused: Refused) -> bool:
    """Whether the instance should register again."""
    return bool(refused.error.get("retryable")) or refused.code == 4008


async def run_http_instance(url: str, instance_id: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=120) as http:
        registration: dict[str, Any] | None = None
        while True:
            with contextlib.suppress(*_CONNECTION_ERRORS):
                registration = await (
                    _register(http, instance_id) if registration is None else _send_http_heartbeat(http, registration)
                )
            await asyncio.sleep(HEARTBEAT_SECONDS)


async def _register(http: httpx.AsyncClient, instance_id: str) -> dict[str, Any] | None:
    answer = await http.post("/agents/instances", json={"agent_id": AGENT, "instance_id": instance_id})
    assert answer.status_code in (200, 201) or answer.status_code >= 500, answer.text
    return answer.json() if answer.is_success else None


async def _send_http_heartbeat(http: httpx.AsyncClient, registration: dict[str, Any]) -> dict[str, Any] | None:
    answer = await http.post(
        f"/agents/instances/{registration['registration_id']}/heartbeat", json={"epoch": registration["epoch"]}
    )
    return None if answer.status_code in (404, 409, 410) else registration


@dataclass(slots=True)
class Observer:
    """Polls the documented view. `lowest`: the lowest count of active instances. `polls`: how often it polled."""

    url: str
    expected: int
    lowest: int = 0
    polls: int = 0

    async def count_active(self) -> int:
        return int((await self._read(_COUNT_QUERY))["active"])

    async def all_active(self) -> bool:
        with contextlib.suppress(asyncpg.CannotConnectNowError):  # the database is starting
            return await self.count_active() == self.expected
        return False

    async def all_renewed_since(self, moment: datetime) -> bool:
        """Whether all are active and sent a heartbeat after `moment`. An outage keeps silent ones active, too."""
        with contextlib.suppress(asyncpg.CannotConnectNowError):
            return int((await self._read(_RENEWED_QUERY, moment))[0]) == self.expected
        return False

    async def now(self) -> datetime:
        moment: datetime = (await self._read("select clock_timestamp()"))[0]
        return moment

    async def evictions_since(self, moment: datetime) -> list[str]:
        """Describe the events of instances that expired after `moment`."""
        rows = await self._read_all(_EVICTED_QUERY, moment)
        return [f"{row['instance_id']} {row['kind']} after {row['silence']:.1f} s without a heartbeat" for row in rows]

    async def _read(self, query: str, *arguments: Any) -> Any:
        return (await self._read_all(query, *arguments))[0]

    async def _read_all(self, query: str, *arguments: Any) -> list[Any]:
        connection = await asyncpg.connect(self.url, timeout=60)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            connection.terminate()

    @contextlib.asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """Poll during the block, whenever the database answers."""
        self.lowest, self.polls = self.expected, 0
        task = asyncio.create_task(self._poll())
        try:
            yield
            polls = self.polls
            await until(lambda: self.polls > polls + 2)
        finally:
            task.cancel()

    async def _poll(self) -> None:
        while True:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                self.lowest = min(self.lowest, await self.count_active())
                self.polls += 1
            await asyncio.sleep(0.2)
