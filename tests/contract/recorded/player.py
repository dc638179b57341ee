"""Send the requests of a conversation to a server, and compare its answers with the recorded ones."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import re
from collections import defaultdict
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import orjson
from deadlines import DEADLINE
from network.sse_client import EventReader

from .exchanges import MISSING, Answer, Conversation, Event, Exchange
from .intended import as_intended
from .matching import Ids, differences
from .simplified import simplified

_ANY_ID = re.compile(r"<[a-z]+\d+>")


class Player:
    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.ids = Ids()
        self.found: list[str] = []
        """Differences, a line each."""

    async def play(self, conversation: Conversation) -> list[str]:
        """Send every request. Returns the differences."""
        for thread_id, metadata in conversation.threads.items():
            body = {"thread_id": thread_id, "metadata": metadata, "if_exists": "do_nothing"}
            (await self._http.post("/threads", json=body)).raise_for_status()
        async with asyncio.TaskGroup() as begun:
            for exchange in conversation.exchanges:
                if "begin" in exchange.options:
                    ready = asyncio.Event()
                    begun.create_task(self._judge(exchange, ready))
                    await asyncio.wait_for(ready.wait(), DEADLINE)
                else:
                    await self._judge(exchange, asyncio.Event())
        return self.found

    async def _judge(self, exchange: Exchange, ready: asyncio.Event) -> None:
        end = asyncio.get_running_loop().time() + DEADLINE
        while True:
            answer = await self._ask(exchange, ready)
            ids = self.ids.copy()
            lines = list(compare(exchange, answer, ids))
            if not lines or "eventually" not in exchange.options or asyncio.get_running_loop().time() > end:
                break
            await asyncio.sleep(0.05)
        self.ids.known |= ids.known
        self.found += [f"{exchange.title} ({exchange.method} {exchange.path}): {line}" for line in lines]

    async def _ask(self, exchange: Exchange, ready: asyncio.Event) -> Answer:
        fill = self.ids.fill
        headers = {name: fill(value) for name, value in exchange.headers.items()}
        if exchange.body:
            headers.setdefault("content-type", "application/json")
        content = fill(exchange.body).encode() if exchange.body else None
        async with self._http.stream(exchange.method, fill(exchange.path), content=content, headers=headers) as answer:
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                reader = EventReader(answer)
                if "begin" in exchange.options and exchange.options["begin"] > 1:
                    first = [await reader.next() for _ in range(exchange.options["begin"] - 1)]
                else:
                    first = []
                ready.set()
                return await _read_events(answer, reader, first, exchange.options.get("drop"))
            ready.set()
            if "drop" in exchange.options:
                return Answer(answer.status_code, "none", None, dict(answer.headers))
            return await _read(answer)


async def send(http: httpx.AsyncClient, exchange: Exchange) -> httpx.Response:
    """Send a request whose ids nobody knows, for an answer that does not depend on them."""
    ids = defaultdict(lambda: str(uuid4()))
    path, body = (_ANY_ID.sub(lambda found: ids[found.group()], text) for text in (exchange.path, exchange.body))
    headers = {"content-type": "application/json"} | exchange.headers
    return await http.request(exchange.method, path, content=body.encode() or None, headers=headers)


async def _read_events(answer: httpx.Response, reader: EventReader, first: list[Any], most: int | None) -> Answer:
    events = [each for each in first if each is not None]
    while most is None or len(events) < most:
        event = await reader.next()
        if event is None:
            break
        events.append(event)
    body = [Event(each.name, simplified(each.data), each.id) for each in events]
    return Answer(answer.status_code, "events", body, dict(answer.headers))


async def _read(answer: httpx.Response) -> Answer:
    text = (await answer.aread()).decode()
    headers = dict(answer.headers)
    if not text.strip():
        return Answer(answer.status_code, "none", None, headers)
    with contextlib.suppress(orjson.JSONDecodeError):
        if "json" in headers.get("content-type", ""):
            return Answer(answer.status_code, "json", simplified(orjson.loads(text)), headers)
    return Answer(answer.status_code, "text", text, headers)


def compare(exchange: Exchange, actual: Answer, ids: Ids) -> list[str]:
    expected = _expected(exchange)
    if (expected.status, expected.kind) != (actual.status, actual.kind):
        return [f"{actual.status} {actual.kind}, not {expected.status} {expected.kind}: {actual.body!r:.300}"]
    lines = []
    headers = {path[7:]: value for path, value, _ in exchange.changes if path.startswith("header.")}
    for name, value in (expected.headers | headers).items():
        lines += differences(value, actual.headers.get(name), ids, f"header {name}")
    if expected.kind == "events":
        return lines + _compare_events(exchange, actual.body, ids)
    if expected.status >= 400 and isinstance(expected.body, dict) and list(expected.body) == ["detail"]:
        return lines + _compare_error(actual.body)
    return lines + list(differences(expected.body, actual.body, ids))


def _expected(exchange: Exchange) -> Answer:
    """The answer of this server: the recorded one with what is meant to differ."""
    answer = exchange.expected
    if answer.kind != "json" or exchange.ours:
        return answer
    body = as_intended(answer.body, exchange.applied)
    for path, value, _ in exchange.changes:
        if path.startswith("header."):
            continue
        body = changed(body, path, value)
    return replace(answer, body=body)


def changed(body: Any, path: str, value: Any) -> Any:
    """Set the member at a path such as `[0].config.tags`, or remove it."""
    body = copy.deepcopy(body)
    *steps, last = re.findall(r"[^.\[\]]+", path)
    parent = body
    for step in steps:
        parent = parent[int(step)] if isinstance(parent, list) else parent[step]
    if value is MISSING:
        del parent[last]
    else:
        parent[int(last) if isinstance(parent, list) else last] = value
    return body


def _compare_error(body: Any) -> list[str]:
    """LangGraph's SDK reads the `detail` of an error. Ours has other members beside it."""
    detail = body.get("detail") if isinstance(body, dict) else None
    return [] if isinstance(detail, str) else [f"no detail: {body!r:.300}"]


def _compare_events(exchange: Exchange, actual: list[Event], ids: Ids) -> list[str]:
    expected: list[Event] = exchange.expected.body
    if "tail" in exchange.options:
        expected = expected[len(expected) - len(actual) :] if actual else []
    if "head" in exchange.options:
        actual = actual[: len(expected)]
    names = [event.name for event in actual]
    if len(names) != len(expected):
        return [f"events {names}, not {[event.name for event in expected]}"]
    lines: list[str] = []
    for number, (one, other) in enumerate(zip(expected, actual, strict=True)):
        lines += differences(one.name, other.name, ids, f"event {number}")
        lines += differences(one.data, other.data, ids, f"event {number} {one.name}")
        if one.id is not None:
            ids.known[one.id] = str(other.id)
    return lines
