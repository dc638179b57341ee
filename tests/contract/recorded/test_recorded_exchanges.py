"""This server answers each recorded request as LangGraph's own server does, but for differences that are meant and
documented."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from databases import fresh_database
from servers.live_server import LiveServer, live_server

from .exchanges import MISSING, Conversation, every_conversation
from .graphs import NAMES
from .intended import EVERYWHERE, as_intended
from .player import Player, send

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PAGE = ROOT / "docs" / "reference" / "conformance.md"
CONVERSATIONS = list(every_conversation())
SETTINGS = {
    "AGENTHALL_GRAPHS": json.dumps({name: f"{HERE / 'graphs.py'}:{name}" for name in NAMES}),
    "AGENTHALL_STORE_INDEX": json.dumps({"embed": f"{HERE / 'graphs.py'}:embed", "dims": 3}),
}


def _parameters(file: str | None = None, *, is_offered: bool = True) -> list[object]:
    return [
        pytest.param(each, id=each.title.replace(" ", "-"))
        for name, each in CONVERSATIONS
        if each.is_offered is is_offered and (name == "auth") is (file == "auth")
    ]


@pytest.fixture(scope="module")
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    async with fresh_database(postgres, template) as url, live_server(url, **SETTINGS) as running:
        yield running


@pytest.fixture
async def http(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server on which nothing is left of other conversations."""
    async with server.http() as opened:
        yield opened
        await _clear(opened)


async def _clear(http: httpx.AsyncClient) -> None:
    for thread in (await http.post("/threads/search", json={"limit": 1000})).json():
        await http.delete(f"/threads/{thread['thread_id']}")
    for assistant in (await http.post("/assistants/search", json={"limit": 1000})).json():
        if assistant["metadata"].get("created_by") != "system":
            await http.delete(f"/assistants/{assistant['assistant_id']}")
    for item in (await http.post("/store/items/search", json={"limit": 1000})).json()["items"]:
        await http.request("DELETE", "/store/items", json={"namespace": item["namespace"], "key": item["key"]})


@pytest.mark.parametrize("conversation", _parameters())
async def test_a_conversation_is_answered_as_recorded(http: httpx.AsyncClient, conversation: Conversation) -> None:
    assert await Player(http).play(conversation) == []


async def test_handlers_are_asked_as_recorded(postgres: str, template: str) -> None:
    handlers = {
        "AGENTHALL_AUTH": f"{HERE / 'auth_handlers.py'}:auth",
        "AGENTHALL_HTTP_APP": f"{HERE / 'web_app.py'}:app",
        "AGENTHALL_HTTP_APP_AUTH": "true",
    }
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, **SETTINGS, **handlers) as running,
        running.http() as http,
    ):
        for name, conversation in CONVERSATIONS:
            if name == "auth":
                found = await Player(http).play(conversation)
                assert not found, "\n".join(found)


@pytest.mark.parametrize("conversation", _parameters(is_offered=False))
async def test_what_is_not_offered_is_refused(http: httpx.AsyncClient, conversation: Conversation) -> None:
    answers = [await send(http, exchange) for exchange in conversation.exchanges]
    refused = [answer for answer in answers if '"not_offered"' in answer.text]
    if not refused:
        pytest.fail("this server offers it now: remove the mark [not offered] and record what differs")
    taken = [answer.request.url.path for answer in answers if answer.is_success]
    assert set(taken) <= {"/threads"}, "only threads are created beside it"


def test_a_difference_is_none_of_the_recorded_answer() -> None:
    """An entry that changes nothing would hide that the servers agree."""
    for _, conversation in CONVERSATIONS:
        for exchange in conversation.exchanges:
            assert exchange.recorded is not None, exchange.title
            if exchange.ours is not None:
                same = (exchange.ours.status, exchange.ours.body) == (exchange.recorded.status, exchange.recorded.body)
                assert not same, f"{conversation.title}: {exchange.title}"
            assert all(value is not MISSING or path for path, value, _ in exchange.changes)


def test_the_page_has_each_rule_and_the_counts() -> None:
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index("## LangGraph's own server") : text.index("## Results")]
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE))
    used = set(EVERYWHERE)
    counts: Counter[str] = Counter()
    for _, conversation in CONVERSATIONS:
        for exchange in conversation.exchanges:
            if "added" in exchange.options:
                continue
            if not conversation.is_offered:
                counts["not offered"] += 1
                continue
            assert exchange.recorded is not None
            applied: set[str] = set()
            if exchange.ours is None:
                as_intended(exchange.recorded.body if exchange.recorded.kind == "json" else None, applied)
            rules = exchange.rules() | applied
            used |= rules
            counts["intended" if rules else "equal"] += 1
    assert documented == used
    stated = f"{counts.total()} exchanges: {counts['equal']} equal, {counts['intended']} meant to differ, {counts['not offered']} of features that are not offered"
    assert stated in " ".join(section.split())
