"""A WebSocket client that speaks the protocol's envelope."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import orjson
import pytest
from deadlines import DEADLINE
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed


class Refused(Exception):
    """The error message that answered a request."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.error = error
        self.code = error["code"]
        self.reason = error["data"]["reason"]
        self.field = error["data"].get("field")


class WebSocketClient:
    """`ask` returns the result of a request. Notifications that arrive meanwhile wait in `notifications`."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.notifications: list[dict[str, Any]] = []
        self._ids = itertools.count(1)

    async def ask(self, method: str, **params: Any) -> Any:
        message_id = f"m-{next(self._ids)}"
        await self.send({"type": 0, "id": message_id, "method": method, "params": params})
        answer = await self.read_response(message_id)
        if answer["type"] == 3:
            raise Refused(answer["error"])
        assert answer["type"] == 1, answer
        return answer["result"]

    async def read_response(self, message_id: Any) -> Any:
        while True:
            message = await self.read()
            if isinstance(message, dict) and message.get("type") == 2:
                self.notifications.append(message)
            else:
                assert message["id"] == message_id, message
                return message

    async def wait_for_notification(self, method: str) -> dict[str, Any]:
        """Return the params of the next notification of that method."""
        while True:
            for notification in self.notifications:
                if notification["method"] == method:
                    self.notifications.remove(notification)
                    return notification["params"]
            message = await self.read()
            assert message.get("type") == 2, message
            self.notifications.append(message)

    async def send(self, value: Any) -> None:
        await self.socket.send(value if isinstance(value, str | bytes) else orjson.dumps(value).decode())

    async def read(self) -> Any:
        async with asyncio.timeout(DEADLINE):
            return orjson.loads(await self.socket.recv())

    async def roundtrip(self, value: Any) -> Any:
        await self.send(value)
        return await self.read()

    async def close_code(self) -> int | None:
        """Wait until the server closes and return its code. Keeps the notifications before that."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                message = await self.read()
                self.notifications += [message] if isinstance(message, dict) and message.get("type") == 2 else []
        return self.socket.close_code

    async def close(self, code: int = 1000) -> None:
        await self.socket.close(code)

    def abort(self) -> None:
        """Break the connection without the closing handshake."""
        self.socket.transport.abort()


@contextlib.asynccontextmanager
async def dial(url: str, **options: Any) -> AsyncIterator[WebSocketClient]:
    """Connect. `headers`, `subprotocols` and others as for `websockets.connect`."""
    headers = options.pop("headers", {})
    async with connect(
        url, additional_headers=headers, compression=None, ping_interval=None, proxy=None, **options
    ) as socket:
        yield WebSocketClient(socket)


async def expect_refused(request: Awaitable[object]) -> Refused:
    """Return the error that answers the request."""
    with pytest.raises(Refused) as caught:
        await request
    return caught.value
