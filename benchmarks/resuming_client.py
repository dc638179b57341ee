"""A client that follows a run's stream, and goes on with Last-Event-ID when the connection breaks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

_BROKEN = (httpx.TransportError, httpx.StreamError)
_OPEN = ("pending", "running")


@dataclass(slots=True)
class Followed:
    """The events that a client got: their ids and names, in order."""

    thread_id: str = ""
    run_id: str = ""
    ids: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    reconnects: int = 0


class ResumingClient:
    """A client that streams one run on a new thread."""

    def __init__(self, http: httpx.AsyncClient, body: dict[str, Any]) -> None:
        self._http = http
        self._body = orjson.dumps({**body, "stream_resumable": True})
        self.got = Followed()

    async def follow(self) -> Followed:
        self.got.thread_id = (await self._ask("POST", "/threads", b"{}"))["thread_id"]
        await self._start()
        while (await self._ask("GET", self._path))["status"] in _OPEN or not self.got.ids:
            self.got.reconnects += 1
            await self._join()
        await self._join()  # for the events before the end
        return self.got

    @property
    def _path(self) -> str:
        return f"/threads/{self.got.thread_id}/runs/{self.got.run_id}"

    async def _start(self) -> None:
        """Start the run and read its stream. Where the answer was lost, find out whether the run exists."""
        while not self.got.run_id:
            path = f"/threads/{self.got.thread_id}/runs"
            try:
                await self._read("POST", f"{path}/stream", content=self._body)
            except _BROKEN:
                self.got.reconnects += 1
            if not self.got.run_id:
                for run in await self._ask("GET", path):
                    self.got.run_id = run["run_id"]

    async def _join(self) -> None:
        last = self.got.ids[-1] if self.got.ids else "-1"
        try:
            await self._read("GET", f"{self._path}/stream", headers={"last-event-id": last})
        except _BROKEN:
            await asyncio.sleep(0.1)

    async def _read(self, method: str, path: str, **request: Any) -> None:
        async with self._http.stream(method, path, **request) as answer:
            if answer.status_code != 200:
                await asyncio.sleep(0.2)
                return
            location = answer.headers.get("content-location", "")
            self.got.run_id = self.got.run_id or location.rpartition("/")[2]
            frame: dict[str, str] = {}
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if line:
                    frame[name] = value
                elif "id" in frame:
                    self.got.ids.append(frame["id"])
                    self.got.names.append(frame["event"])
                    frame = {}

    async def _ask(self, method: str, path: str, content: bytes | None = None) -> Any:
        while True:
            try:
                answer = await self._http.request(method, path, content=content)
                if answer.is_success:
                    return answer.json()
            except _BROKEN:
                pass
            await asyncio.sleep(0.1)
