"""An answer of the server, sent as an app sends one, so that middleware can change it."""

from __future__ import annotations

import asyncio
from typing import Any

from robyn_server.web.http.messages import End, Headers, Response, Sink, Stream

from .protocol import Send


async def send_response(answer: Response, send: Send) -> None:
    await _send_head(send, answer.status, answer.headers, answer.media_type, len(answer.body))
    await send({"type": "http.response.body", "body": answer.body})


async def _send_head(send: Send, status: int, headers: Headers, media_type: str, length: int | None) -> None:
    lines = [(name.encode(), value.encode()) for name, value in headers]
    if media_type:
        lines.append((b"content-type", media_type.encode()))
    if length is not None:
        lines.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": status, "headers": lines})


class StreamSender:
    """Produces a stream into `send`. It is the `Sink` of the producer.

    `ended`: set when nobody reads the answer any more. Then the producer is cancelled. `reader`: the sink that the
    middleware's answer is read into, which knows why. Heartbeats, every `heartbeat_seconds` of silence, pass the
    middleware as all else does: it may compress the stream, or wait for the first bytes before it sends the head.
    """

    def __init__(self, stream: Stream, ended: asyncio.Event, send: Send, heartbeat_seconds: float) -> None:
        self.reader: Sink | None = None
        self.failure: BaseException | None = None
        """The error of the producer, where the head was sent before it."""
        self._stream = stream
        self._ended = ended
        self._send = send
        self._chunks: list[bytes] = []
        self._has_begun = False
        self._heartbeat_seconds = heartbeat_seconds
        self._sent = 0
        self._is_sending = False

    @property
    def end(self) -> End | None:
        if self.reader is not None and self.reader.end is not None:
            return self.reader.end
        return End.CLIENT_GONE if self._ended.is_set() else None

    @property
    def closed(self) -> bool:
        return self.end is not None

    async def put(self, data: bytes) -> None:
        if self.closed or not data:
            return
        if self._has_begun:
            await self._send_part(data)
        else:
            self._chunks.append(data)

    async def run(self) -> None:
        """Send the stream to its end. Raises what the producer raised before the head was sent."""
        producer = asyncio.ensure_future(self._stream.produce(self))
        left = asyncio.ensure_future(self._ended.wait())
        try:
            if self._stream.whole_within:
                await asyncio.wait((producer,), timeout=self._stream.whole_within)
            if producer.done():
                producer.result()
                await self._send_whole()
            else:
                await self._send_parts(producer, left)
        finally:
            left.cancel()
            producer.cancel()
            await asyncio.wait((producer,))

    async def _send_whole(self) -> None:
        body = b"".join(self._chunks)
        await send_response(
            Response(self._stream.status, body, self._stream.headers, self._stream.media_type), self._send
        )

    async def _send_parts(self, producer: asyncio.Future[None], left: asyncio.Future[Any]) -> None:
        await _send_head(self._send, self._stream.status, self._stream.headers, self._stream.media_type, None)
        while self._chunks:
            await self._send_part(self._chunks.pop(0))
        self._has_begun = True  # not earlier, or the next chunk would overtake them
        while not await self._is_over(producer, left):
            await self._send_part(self._stream.heartbeat)
        if producer.done():
            self.failure = producer.exception()
            await self._send({"type": "http.response.body", "body": b""})

    async def _is_over(self, producer: asyncio.Future[None], left: asyncio.Future[Any]) -> bool:
        """Whether the stream ended before it was silent for a heartbeat."""
        before = -1
        while before != self._sent or self._is_sending:
            before = self._sent
            done, _ = await asyncio.wait(
                (producer, left), timeout=self._heartbeat_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                return True
        return False

    async def _send_part(self, data: bytes) -> None:
        self._is_sending = True
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
            self._sent += 1
        finally:
            self._is_sending = False
