"""One socket: questions and their answers, and what the server says unasked."""

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

from .closing import Goodbye, refusal
from .errors import Refused

_log = logging.getLogger("agenthall_client")

MOST_BYTES = 64 * 1024
"""Of a message; the server closes the connection over a longer one."""

REQUEST, RESPONSE, NOTIFICATION, ERROR = 0, 1, 2, 3
Heard = Callable[[str, dict[str, Any]], None]
Answered = Callable[[dict[str, Any]], None]


class Disconnected(Exception):
    pass


class Wire:
    """`heard(method, params)` is called for each notification, in order. `read` must run for anything to arrive."""

    def __init__(self, socket: ClientConnection, heard: Heard, answer_seconds: float) -> None:
        self._socket = socket
        self._heard = heard
        self._answer_seconds = answer_seconds
        self._ids = itertools.count(1)
        self._pending: dict[str, tuple[asyncio.Future[dict[str, Any]], Answered | None]] = {}
        self._come_back_after: float | None = None
        self._is_over = False

    async def ask(
        self, method: str, params: Mapping[str, Any] | None = None, *, answered: Answered | None = None
    ) -> dict[str, Any]:
        """The result. `answered` is called with it before anything that the server says afterwards is read.

        Raises Refused, Forbidden, Disconnected. A socket that does not answer in time is given up.
        """
        if self._is_over:
            raise Disconnected
        message_id = f"{next(self._ids)}"
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[message_id] = (future, answered)
        try:
            await self._send({"type": REQUEST, "id": message_id, "method": method, "params": dict(params or {})})
            async with asyncio.timeout(self._answer_seconds):
                return await future
        except TimeoutError:
            _log.warning("%s was not answered within %g s; the connection is given up", method, self._answer_seconds)
            self.abort()
            raise Disconnected from None
        finally:
            del self._pending[message_id]
            _settle(future)

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            text = json.dumps(message, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise Refused(f"{message['method']}: {error}", reason="no_json") from None
        if len(text) > MOST_BYTES:  # ASCII: json escapes the rest
            detail = f"{message['method']}: the message has {len(text)} bytes; {MOST_BYTES} are the most"
            raise Refused(detail, reason="too_large")
        try:
            async with asyncio.timeout(self._answer_seconds):
                await self._socket.send(text)
        except ConnectionClosed:
            raise Disconnected from None

    async def read(self, keepalive: float) -> Goodbye:
        """Until the socket is closed, by whomever, or leaves a ping unanswered for `keepalive` seconds."""
        asking = asyncio.create_task(self._ask_for_life(keepalive), name="agenthall.ping")
        try:
            async for text in self._socket:
                self._take(text)
        except ConnectionClosed:
            pass
        except (ValueError, KeyError, AttributeError) as error:
            _log.error("the server sent what is no message: %r", error)
            self.abort()
        finally:
            asking.cancel()
            self._is_over = True
            for future, _ in self._pending.values():
                if not future.done():
                    future.set_exception(Disconnected())
        return self._goodbye()

    async def _ask_for_life(self, seconds: float) -> None:
        """One ping after the other, so often."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(seconds)
                try:
                    async with asyncio.timeout(seconds):
                        await (await self._socket.ping())
                except TimeoutError:
                    _log.warning("nothing is heard of the server any more; the connection is given up")
                    self.abort()
                    return

    def _goodbye(self) -> Goodbye:
        close = self._socket.protocol.close_rcvd
        return Goodbye(None if close is None else int(close.code), close.reason if close else "", self._come_back_after)

    def _take(self, text: str | bytes) -> None:
        message = json.loads(text)
        kind = message.get("type")
        if kind == NOTIFICATION:
            self._take_notification(message["method"], message.get("params") or {})
        elif kind in {RESPONSE, ERROR}:
            self._take_answer(message)

    def _take_notification(self, method: str, params: dict[str, Any]) -> None:
        if method == "server.restarting":
            self._come_back_after = float(params.get("reconnect_after_seconds") or 0)
        self._heard(method, params)

    def _take_answer(self, message: dict[str, Any]) -> None:
        future, answered = self._asked(message)
        if future is None or future.done():
            return
        if message["type"] == ERROR:
            future.set_exception(refusal(message["error"]))
            return
        result = message.get("result") or {}
        if answered is not None:
            answered(result)
        future.set_result(result)

    def _asked(self, message: dict[str, Any]) -> tuple[asyncio.Future[dict[str, Any]] | None, Answered | None]:
        """What it answers. An error without an id is about a message that could not be read; answers come in the order of the questions,
        so it was the oldest that is open."""
        message_id = message.get("id")
        if message_id is None and message["type"] == ERROR:
            message_id = next(iter(self._pending), None)
        return self._pending.get(str(message_id), (None, None))

    async def close(self) -> None:
        """With a goodbye."""
        await self._socket.close()

    def abort(self) -> None:
        self._is_over = True
        self._socket.transport.abort()


def _settle(future: asyncio.Future[dict[str, Any]]) -> None:
    """Nobody waits for it any more, and an error that came too late is nobody's."""
    if not future.cancel() and not future.cancelled():
        future.exception()
