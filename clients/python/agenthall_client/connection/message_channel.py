"""Requests, responses and notifications over one WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from agenthall_client.errors import Refused, error_from_message

from .close_policy import CloseEvent
from .json_text import join_members

_log = logging.getLogger("agenthall_client")

MAX_MESSAGE_BYTES = 64 * 1024
MAX_JOB_MESSAGE_BYTES = 1024 * 1024
"""Of a message to the server, and of one about a job. The server closes the connection over a longer one."""

REQUEST, RESPONSE, NOTIFICATION, ERROR = 0, 1, 2, 3
NotificationCallback = Callable[[str, dict[str, Any]], None]
ResultCallback = Callable[[dict[str, Any]], None]
_PendingRequest = tuple[asyncio.Future[dict[str, Any]], ResultCallback | None]


class Disconnected(Exception):
    """The WebSocket is closed or broken."""


class MessageChannel:
    """Sends requests, and calls `on_notification(method, params)` for each notification in order.

    Nothing arrives unless `receive` runs.
    """

    def __init__(
        self, socket: ClientConnection, on_notification: NotificationCallback, response_timeout: float
    ) -> None:
        self._socket = socket
        self._on_notification = on_notification
        self._response_timeout = response_timeout
        self._ids = itertools.count(1)
        self._pending: dict[str, _PendingRequest] = {}
        self.reconnect_after: float | None = None
        """The seconds that the server announced before a restart."""
        self.is_restarting = asyncio.Event()
        self._is_closed = False

    async def request(
        self, method: str, params: Mapping[str, Any] | None = None, *, on_result: ResultCallback | None = None
    ) -> dict[str, Any]:
        """Send a request and return its result. `on_result` is called with the result before any later message is read.

        Members of `params` may be a JsonText.

        Raises Refused, Forbidden, Unauthenticated, Disconnected. A WebSocket that does not answer in time is aborted.
        """
        if self._is_closed:
            raise Disconnected
        message_id = f"{next(self._ids)}"
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[message_id] = (future, on_result)
        try:
            await self._send({"type": REQUEST, "id": message_id, "method": method, "params": dict(params or {})})
            async with asyncio.timeout(self._response_timeout):
                return await future
        except TimeoutError:
            _log.warning("no answer to %s within %g s; dropping the connection", method, self._response_timeout)
            self.abort()
            raise Disconnected from None
        finally:
            del self._pending[message_id]
            _discard(future)

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            text = join_members({**message, "params": join_members(message["params"])})
        except (TypeError, ValueError) as error:
            raise Refused(f"{message['method']}: {error}", reason="no_json") from None
        limit = MAX_JOB_MESSAGE_BYTES if message["method"].startswith("job.") else MAX_MESSAGE_BYTES
        if text.size > limit:
            detail = f"{message['method']}: the message has {text.size} bytes; the limit is {limit}"
            raise Refused(detail, reason="too_large")
        try:
            async with asyncio.timeout(self._response_timeout):
                await self._socket.send(text)
        except ConnectionClosed:
            raise Disconnected from None

    async def receive(self, keepalive: float) -> CloseEvent:
        """Read messages until either side closes the WebSocket, or a ping stays unanswered for `keepalive` seconds."""
        pinging = asyncio.create_task(self._ping(keepalive), name="agenthall.ping")
        try:
            async for text in self._socket:
                self._handle_message(text)
        except ConnectionClosed:
            pass
        except (ValueError, KeyError, AttributeError) as error:
            _log.error("the server sent an invalid message: %r", error)
            self.abort()
        finally:
            pinging.cancel()
            self._is_closed = True
            for future, _ in self._pending.values():
                if not future.done():
                    future.set_exception(Disconnected())
        return self._close_event()

    async def _ping(self, interval: float) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(interval)
                try:
                    async with asyncio.timeout(interval):
                        await (await self._socket.ping())
                except TimeoutError:
                    _log.warning("no answer to a ping within %g s; dropping the connection", interval)
                    self.abort()
                    return

    def _close_event(self) -> CloseEvent:
        close = self._socket.protocol.close_rcvd
        return CloseEvent(
            None if close is None else int(close.code), close.reason if close else "", self.reconnect_after
        )

    def _handle_message(self, text: str | bytes) -> None:
        message = json.loads(text)
        kind = message.get("type")
        if kind == NOTIFICATION:
            self._handle_notification(message["method"], message.get("params") or {})
        elif kind in {RESPONSE, ERROR}:
            self._handle_response(message)

    def _handle_notification(self, method: str, params: dict[str, Any]) -> None:
        if method == "server.restarting":
            self.reconnect_after = float(params.get("reconnect_after_seconds") or 0)
            self.is_restarting.set()
        self._on_notification(method, params)

    def _handle_response(self, message: dict[str, Any]) -> None:
        request = self._find_request(message)
        if request is None:
            return
        future, on_result = request
        if future.done():
            return
        if message["type"] == ERROR:
            future.set_exception(error_from_message(message["error"]))
            return
        result = message.get("result") or {}
        if on_result is not None:
            on_result(result)
        future.set_result(result)

    def _find_request(self, message: dict[str, Any]) -> _PendingRequest | None:
        message_id = message.get("id")
        if message_id is None and message["type"] == ERROR:
            # The server could not read the request's id. It answers in order, so the oldest pending request is meant.
            message_id = next(iter(self._pending), None)
        return self._pending.get(str(message_id))

    async def close(self) -> None:
        """Close with the closing handshake."""
        await self._socket.close()

    def abort(self) -> None:
        """Drop the connection without the closing handshake."""
        self._is_closed = True
        self._socket.transport.abort()


def _discard(future: asyncio.Future[dict[str, Any]]) -> None:
    if not future.cancel() and not future.cancelled():
        future.exception()  # retrieved, or asyncio would log that it never was
