"""A connection that reconnects: one WebSocket after another, until a final error.

    connect → on_connected → available → lost
       ↑                                   │
       └────────────── delay ──────────────┘      ends with an error that retrying does not fix

On each new WebSocket the listener goes first (`on_connected`, where an instance registers). After that, all requests
may use it. When the server announces a restart, the next WebSocket is opened at once, and the first one stays in use
until the next is available.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from agenthall_client.errors import ClientError, Closed, Refused, Unreachable, unexpected_error

from .address import ServerAddress
from .backoff import Backoff, jitter
from .close_policy import (
    CREDENTIALS,
    TOO_MANY_SECONDS,
    CloseEvent,
    RetryConnection,
    error_for_close,
)
from .credentials import Credentials
from .message_channel import Disconnected, MessageChannel
from .opening import open_websocket
from .timing import Timing

_log = logging.getLogger("agenthall_client")
_RATE_LIMITED = 4002
_CREDENTIALS_EXPIRING = "auth.expiring"
PROXY_REFUSALS = frozenset({"handshake", "no_sockets_url", "no_server"})
"""Final on the first connection only: later, a proxy may give these reasons while the server restarts."""
Params = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ConnectionListener:
    """Called when a channel opens, gets a notification, and is lost.

    `on_connected` raises ClientError to end the connection for good; Disconnected or a retryable Refused to reconnect.
    """

    on_connected: Callable[[MessageChannel], Awaitable[None]]
    on_notification: Callable[[str, dict[str, Any]], None]
    on_disconnected: Callable[[MessageChannel], None]


class ReconnectingConnection:
    """Runs one MessageChannel at a time. `run` keeps it connected."""

    def __init__(
        self, address: ServerAddress, credentials: Credentials, timing: Timing, listener: ConnectionListener
    ) -> None:
        self._address = address
        self._credentials = credentials
        self._timing = timing
        self._listener = listener
        self._backoff = Backoff(timing.backoff_first, timing.backoff_most)
        self._channel: MessageChannel | None = None
        self._is_settled = asyncio.Event()
        """Set while there is a channel, and once there is a final error."""
        self._final_error: ClientError | None = None
        self._last_failure = "no attempt was made"
        self._was_connected = False
        self._renewal: asyncio.Task[None] | None = None
        self._retired: set[asyncio.Task[None]] = set()
        """Tasks of channels whose successor was asked for."""

    # Use of the connection

    async def first_channel(self) -> MessageChannel:
        """Wait for the first channel. Raises Unreachable, and the final error."""
        try:
            async with asyncio.timeout(self._timing.ready):
                return await self.channel()
        except TimeoutError:
            detail = f"not connected within {self._timing.ready:g} s; last failure: {self._last_failure}"
            raise Unreachable(detail) from None

    @property
    def current_channel(self) -> MessageChannel | None:
        return self._channel

    async def channel(self) -> MessageChannel:
        """Wait for a channel. Raises the final error."""
        while self._channel is None:
            if self._final_error is not None:
                raise self._final_error
            await self._is_settled.wait()
        return self._channel

    async def request(self, method: str, params: Params | None = None) -> dict[str, Any]:
        """Send a request, and send it again when the connection breaks before the answer: it must be idempotent.

        Raises Refused, Forbidden, Unauthenticated, Unreachable, and the final error.
        """
        try:
            async with asyncio.timeout(self._timing.patience):
                while True:
                    channel = await self.channel()
                    with contextlib.suppress(Disconnected):
                        return await channel.request(method, params() if callable(params) else params)
                    self.discard(channel)
        except TimeoutError:
            detail = f"{method}: no answer within {self._timing.patience:g} s; last failure: {self._last_failure}"
            raise Unreachable(detail) from None

    async def close(self) -> None:
        """Close with the closing handshake, for good."""
        self._final_error = self._final_error or Closed("the connection was closed")
        self._is_settled.set()
        if self._channel is not None:
            await self._channel.close()

    def discard(self, channel: MessageChannel) -> None:
        """Stop using a channel that is broken."""
        if self._channel is channel:
            self._channel = None
            self._is_settled.clear()
            self._listener.on_disconnected(channel)

    def fail(self, error: ClientError) -> None:
        """End the connection for good. The first error given is the final one."""
        self._final_error = self._final_error or error
        channel = self._channel
        if channel is not None:
            self.discard(channel)
            channel.abort()
        self._is_settled.set()

    # Keeping it connected

    async def run(self) -> None:
        """Keep connected until cancelled or until a final error, which is raised."""
        try:
            while self._final_error is None:
                try:
                    await self._run_channel()
                except RetryConnection as retry:
                    await self._wait_to_reconnect(retry)
                except Refused as refused:
                    if not self._was_connected or refused.reason not in PROXY_REFUSALS:
                        raise
                    await self._wait_to_reconnect(RetryConnection(str(refused)))
        except ClientError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001 - token() may raise anything, and a fault here must not go unnoticed
            self.fail(unexpected_error(error))
        except asyncio.CancelledError:
            self.fail(Closed("the connection was closed"))
            raise
        finally:
            for task in self._retired:
                task.cancel()
        if self._final_error is not None:
            raise self._final_error

    async def _wait_to_reconnect(self, retry: RetryConnection) -> None:
        self._last_failure = str(retry)
        seconds = retry.min_delay + (self._backoff.next_delay() if retry.spread is None else jitter(retry.spread))
        _log.info("disconnected: %s; reconnecting in %.1f s", retry, seconds)
        await asyncio.sleep(seconds)

    async def _run_channel(self) -> None:
        """Connect, and use the channel until it is lost or is to be replaced.

        Raises RetryConnection, or the final ClientError.
        """
        channel: MessageChannel = MessageChannel(
            await open_websocket(self._address, self._credentials, self._timing),
            lambda method, params: self._handle_notification(channel, method, params),
            self._timing.answer,
        )
        receiving = asyncio.create_task(channel.receive(self._timing.keepalive), name="agenthall.receive")
        started = asyncio.get_running_loop().time()
        was_available = is_retired = False
        try:
            was_available = await self._make_available(channel)
            is_retired = await _is_restart_announced(channel, receiving)
        finally:
            if is_retired:
                self._keep_in_background(self._await_end(channel, receiving))
            else:
                self._drop(channel, receiving)
        if asyncio.get_running_loop().time() - started > self._timing.steady:
            self._backoff.reset()
        if is_retired:
            # Less than the time that is left: the server closes this channel up to a second before `reconnect_after`.
            raise RetryConnection("the server restarts", spread=max(0.0, (channel.reconnect_after or 0.0) - 1.0))
        raise self._final_error or self._error_for_close(receiving.result(), was_available=was_available)

    def _drop(self, channel: MessageChannel, receiving: asyncio.Task[CloseEvent]) -> None:
        self.discard(channel)
        channel.abort()
        receiving.cancel()
        if self._renewal is not None:
            self._renewal.cancel()

    async def _await_end(self, channel: MessageChannel, receiving: asyncio.Task[CloseEvent]) -> None:
        try:
            await receiving
        finally:
            self._drop(channel, receiving)

    def _keep_in_background(self, step: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(step, name="agenthall.retired")
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    def _handle_notification(self, channel: MessageChannel, method: str, params: dict[str, Any]) -> None:
        if method == _CREDENTIALS_EXPIRING and self._credentials.can_refresh:
            self._renewal = asyncio.create_task(self._renew_credentials(channel), name="agenthall.renew")
        self._listener.on_notification(method, params)

    async def _renew_credentials(self, channel: MessageChannel) -> None:
        # After a failure the connection lasts until the old credentials expire. The next one asks for new ones.
        try:
            await channel.request("auth", await self._credentials.auth_params())
        except (ClientError, Disconnected) as error:
            _log.warning("the server did not accept the renewed credentials: %s", error or type(error).__name__)
        except Exception:  # noqa: BLE001 - code of the program may raise anything
            _log.exception("token() failed; the current credentials expire soon")

    def _error_for_close(self, event: CloseEvent, *, was_available: bool) -> Exception:
        if event.code == CREDENTIALS and was_available and self._credentials.can_refresh:
            return RetryConnection(event.reason, spread=1.0)  # the token expired; the next connection gets a new one
        return error_for_close(event)

    async def _make_available(self, channel: MessageChannel) -> bool:
        """Return False when the channel is lost before the listener has finished."""
        try:
            await self._listener.on_connected(channel)
        except Disconnected:
            return False
        except Refused as refused:
            if not refused.retryable:
                raise
            min_delay = TOO_MANY_SECONDS if refused.code == _RATE_LIMITED else 0.0
            raise RetryConnection(str(refused), min_delay=min_delay) from None
        replaced, self._channel, self._was_connected = self._channel, channel, True
        self._is_settled.set()
        if replaced is not None:
            self._listener.on_disconnected(replaced)
            self._keep_in_background(replaced.close())
        return True


async def _is_restart_announced(channel: MessageChannel, receiving: asyncio.Task[CloseEvent]) -> bool:
    """Wait until the channel is lost, or the server announces a restart while it lasts."""
    announced = asyncio.create_task(channel.is_restarting.wait(), name="agenthall.restarting")
    try:
        await asyncio.wait([announced, receiving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        announced.cancel()
    return not receiving.done()
