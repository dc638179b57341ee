"""Find and watch instances. A Client registers nothing itself; `instance.py` does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Self

from agenthall_client.connection.address import ServerAddress
from agenthall_client.connection.credentials import Credentials, TokenSource
from agenthall_client.connection.message_channel import MessageChannel
from agenthall_client.connection.reconnecting_connection import ConnectionListener, ReconnectingConnection
from agenthall_client.connection.timing import Timing
from agenthall_client.discovery.events import Event
from agenthall_client.discovery.instance_record import InstanceRecord
from agenthall_client.discovery.pagination import iterate_instances
from agenthall_client.discovery.watcher import Watcher

from .cancel_scope import CancelScope
from .errors import ClientError, Closed
from .string_lists import string_list

_NOT_OPEN = "The client is not connected. Use it inside `async with`."


class Client:
    """A connection to the registry. `async with Client() as client:` connects, and reconnects until the body ends.

    `url`: the server (`https://…`, which is asked for its WebSocket URL) or the WebSocket URL (`wss://…`).
    `api_key`, or `token`: a JWT or a function that returns a fresh one. `tenant_id`: for credentials of several
    organizations. Defaults: AGENTHALL_URL (else http://127.0.0.1:2024), AGENTHALL_API_KEY and AGENTHALL_TENANT.

    Entering raises Unauthenticated, Forbidden, Refused or Unreachable. A final error of the connection later cancels
    the body and is raised in its place.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        token: str | TokenSource | None = None,
        tenant_id: object = None,
        timing: Timing | None = None,
    ) -> None:
        self._timing = timing or Timing()
        self._address = ServerAddress(url, timeout=self._timing.answer)
        self._credentials = Credentials.from_arguments(api_key, token, None if tenant_id is None else str(tenant_id))
        self._opened: ReconnectingConnection | None = None
        self._watcher: Watcher | None = None
        self._running: asyncio.Task[None] | None = None
        self._body = CancelScope()

    @property
    def _connection(self) -> ReconnectingConnection:
        if self._opened is None:
            raise Closed(_NOT_OPEN)
        return self._opened

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            raise Closed("The client was opened before. Create a new one.")
        listener = ConnectionListener(self._on_connected, self._on_notification, self._on_disconnected)
        self._opened = ReconnectingConnection(self._address, self._credentials, self._timing, listener)
        self._watcher = Watcher(self._opened)
        self._running = asyncio.create_task(self._run(self._opened), name="agenthall.connection")
        try:
            await self._opened.first_channel()
        except BaseException:
            await self._stop()
            raise
        self._body.enter()
        return self

    async def _run(self, connection: ReconnectingConnection) -> None:
        try:
            await connection.run()
        except Closed:
            pass
        except ClientError as error:
            self._on_final_error(error)

    def _on_final_error(self, error: ClientError) -> None:
        self._body.cancel(error)

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        instead = await self._body.exit(error)
        try:
            if instead is None:
                await self._close(error)
        finally:
            await self._stop()
        if instead is not None:
            raise instead from None

    async def _close(self, error: BaseException | None) -> None:  # noqa: ARG002 - AgentInstance reports it
        """`error`: the exception that ended the body."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timing.leave):
                await self._connection.close()

    async def _stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def discover(
        self,
        capability: str | None = None,
        *,
        capabilities: Iterable[str] = (),
        agent_id: str | None = None,
        tags: Iterable[str] = (),
        zone: str | None = None,
        health: str | None = None,
        version: str | None = None,
        free_slots: int | None = None,
    ) -> list[InstanceRecord]:
        """Return all instances that can take work now and match all that is given.

        `capabilities`, `tags`: an instance has all of them; `capability` is one more. `version`: a range, `>=1.2,<2`.
        `free_slots`: at least so many. Raises Refused, Forbidden, Unreachable.
        """
        filters = _filters(capability, capabilities, tags, agent_id=agent_id, zone=zone, health=health)
        more = _given(version=version, free_slots=free_slots)
        return await _read_instances(self._connection, "agent.discover", {**filters, **more})

    async def list(
        self,
        capability: str | None = None,
        *,
        status: str = "active",
        capabilities: Iterable[str] = (),
        agent_id: str | None = None,
        tags: Iterable[str] = (),
        zone: str | None = None,
        health: str | None = None,
        version: str | None = None,
        free_slots: int | None = None,
    ) -> list[InstanceRecord]:
        """Return all instances of one `status` (active, draining or inactive), with the filters of `discover`."""
        filters = _filters(capability, capabilities, tags, agent_id=agent_id, zone=zone, health=health)
        more = _given(status=status, version=version, free_slots=free_slots)
        return await _read_instances(self._connection, "agent.list", {**filters, **more})

    async def status(self, registration_id: object) -> InstanceRecord:
        """Return one instance. Raises Refused (reason not_found), Forbidden, Unreachable."""
        params = {"registration_id": str(registration_id)}
        return InstanceRecord.from_json(await self._connection.request("agent.status", params))

    def watch(
        self,
        *,
        agent_id: str | None = None,
        capabilities: Iterable[str] = (),
        tags: Iterable[str] = (),
        zone: str | None = None,
        after: int | None = None,
        listed: bool = True,
    ) -> AsyncIterator[Event]:
        """Yield changes of the organization's instances, in order and without gaps over reconnections.

        The existing instances come first, as `listed` events; not with `after`, the position of an event that was seen
        before. Ends when the client is closed. Raises Refused, Forbidden, and the final error of the connection.
        """
        if self._watcher is None:
            raise Closed(_NOT_OPEN)
        filters = _filters(None, capabilities, tags, agent_id=agent_id, zone=zone)
        return self._watcher.watch(filters, after, listed=listed)

    # The connection's listener

    async def _on_connected(self, channel: MessageChannel) -> None:
        await channel.request("ping")

    def _on_notification(self, method: str, params: dict[str, Any]) -> None:
        if self._watcher is not None:
            self._watcher.on_notification(method, params)

    def _on_disconnected(self, channel: MessageChannel) -> None:
        if self._watcher is not None:
            self._watcher.on_disconnected(channel)


async def _read_instances(
    connection: ReconnectingConnection, method: str, filters: dict[str, Any]
) -> list[InstanceRecord]:
    return [InstanceRecord.from_json(each) async for each in iterate_instances(connection, method, filters)]


def _filters(
    capability: str | None, capabilities: Iterable[str], tags: Iterable[str], **equal: str | None
) -> dict[str, Any]:
    words = {
        "capabilities": [*([] if capability is None else [capability]), *string_list("capabilities", capabilities)],
        "tags": string_list("tags", tags),
    }
    return {name: value for name, value in words.items() if value} | _given(**equal)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
