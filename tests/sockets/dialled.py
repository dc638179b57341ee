"""A client for tests: a real WebSocket, and the envelope on it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

DEADLINE = 20.0


class Refused(Exception):
    """An error that the server answered."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.error = error
        self.code = error["code"]
        self.reason = error["data"]["reason"]
        self.field = error["data"].get("field")


class Dialled:
    """`ask` answers with the result of its own request; notifications that come meanwhile are kept for `notified`."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.notices: list[dict[str, Any]] = []
        self._ids = itertools.count(1)

    async def ask(self, method: str, **params: Any) -> Any:
        message_id = f"m-{next(self._ids)}"
        await self.send({"type": 0, "id": message_id, "method": method, "params": params})
        answer = await self.answer(message_id)
        if answer["type"] == 3:
            raise Refused(answer["error"])
        assert answer["type"] == 1, answer
        return answer["result"]

    async def answer(self, message_id: Any) -> Any:
        while True:
            message = await self.read()
            if isinstance(message, dict) and message.get("type") == 2:
                self.notices.append(message)
            else:
                assert message["id"] == message_id, message
                return message

    async def notified(self, method: str) -> dict[str, Any]:
        """The params of the next notification of that method."""
        while True:
            for notice in self.notices:
                if notice["method"] == method:
                    self.notices.remove(notice)
                    return notice["params"]
            message = await self.read()
            assert message.get("type") == 2, message
            self.notices.append(message)

    async def send(self, value: Any) -> None:
        await self.socket.send(value if isinstance(value, str | bytes) else orjson.dumps(value).decode())

    async def read(self) -> Any:
        async with asyncio.timeout(DEADLINE):
            return orjson.loads(await self.socket.recv())

    async def roundtrip(self, value: Any) -> Any:
        await self.send(value)
        return await self.read()

    async def close_code(self) -> int | None:
        """Once the server has closed; what it says before that is kept."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                message = await self.read()
                self.notices += [message] if isinstance(message, dict) and message.get("type") == 2 else []
        return self.socket.close_code

    async def leave(self, code: int = 1000) -> None:
        await self.socket.close(code)

    def drop(self) -> None:
        """Without a goodbye."""
        self.socket.transport.abort()


@contextlib.asynccontextmanager
async def dial(url: str, **options: Any) -> AsyncIterator[Dialled]:
    """`headers`, `subprotocols` and so on as for `connect`."""
    headers = options.pop("headers", {})
    async with connect(
        url, additional_headers=headers, compression=None, ping_interval=None, proxy=None, **options
    ) as socket:
        yield Dialled(socket)


async def refused(asking: Awaitable[object]) -> Refused:
    """The error that it is answered with."""
    with pytest.raises(Refused) as caught:
        await asking
    return caught.value
