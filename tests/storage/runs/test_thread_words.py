"""Words of messages: which searches find them, and how they follow the state of a thread."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from databases import fresh_database, open_pools
from read_costs import FEW, MANY, CountingPool, load, touched
from run_storage import RunStorage

from robyn_server.core.access.grants import Condition, Grants
from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.ids import new_id
from robyn_server.storage.postgres.json import to_json
from robyn_server.storage.thread_words import ThreadWords
from robyn_server.storage.threads import ThreadFilter

ADA, BEN = Principal("ada"), Principal("ben")


@pytest.fixture
async def words(storage: RunStorage) -> ThreadWords:
    return ThreadWords(storage.system)


async def _thread(storage: RunStorage, *messages: Any, principal: Principal = ADA, **values: Any) -> UUID:
    """A thread with these contents of messages."""
    thread_id = new_id()
    await storage.threads.create(principal, thread_id, {}, None)
    await _set_state(storage, thread_id, *messages, principal=principal, **values)
    return thread_id


async def _set_state(
    storage: RunStorage, thread_id: UUID, *messages: Any, principal: Principal = ADA, **values: Any
) -> None:
    state = values | {"messages": [{"type": "human", "content": content} for content in messages]}
    async with storage.threads.lock(principal, thread_id) as thread:
        assert thread is not None
        await thread.set_state((to_json(state) or "").encode(), "idle", {})


async def _found(storage: RunStorage, text: str, principal: Principal = ADA) -> set[UUID]:
    where = ThreadFilter(text=text)
    page = await storage.threads.search(principal, where, limit=50, offset=0, select=["thread_id"])
    found = {UUID(each["thread_id"]) for each in json.loads(page.body)}
    assert await storage.threads.count(principal, where) == len(found)
    return found


PARTS = [{"type": "text", "text": "A pangolin"}, "and a tapir", {"type": "image_url", "image_url": {"url": "lynx"}}]


@pytest.mark.parametrize(
    ("content", "found", "missed"),
    [
        ("The quick brown Fox", ["fox", "FOX quick", "the", "fox bro", "bro"], ["foxes", "own", "br", "brow fox"]),
        (PARTS, ["pangolin", "tapir pango"], ["lynx", "image_url"]),
        ("write to ada@example.com about e-mail", ["ada@example.com", "e-mail", "mail"], ["example"]),
        (
            "It's 100 % 'sure' \\ & | ! (a:b) <-> *",
            ["it's", "100 %", "sure'", "\\ sure", "a:b", "!sure"],
            ["sure & | b*x"],
        ),
        ("Grüße aus Zürich, 你好 世界", ["grüße", "ZÜRICH", "世界"], ["gruesse"]),
        ("", [], ["human", "content", "messages"]),
        (None, [], ["null", "none"]),
        ({"text": "an object"}, [], ["object"]),
    ],
)
async def test_all_words_must_be_there_and_the_last_may_have_begun(
    storage: RunStorage, words: ThreadWords, content: Any, found: list[str], missed: list[str]
) -> None:
    thread = await _thread(storage, "something first", content)
    assert await words.index_changed() == 1
    assert [text for text in found if await _found(storage, text) != {thread}] == []
    assert [text for text in missed if await _found(storage, text)] == []


@pytest.mark.parametrize("text", ["?", "''", "\\", "& |", "_", "x" * 5000])
async def test_a_text_without_a_known_word_finds_nothing(storage: RunStorage, words: ThreadWords, text: str) -> None:
    await _thread(storage, "? '' \\ & |")
    await words.index_changed()
    assert await _found(storage, text) == set()


async def test_texts_beside_the_messages_are_found(storage: RunStorage, words: ThreadWords) -> None:
    thread = await _thread(storage, topic="A narwhal", deep={"topic": "walrus"}, number=7)
    await words.index_changed()
    assert await _found(storage, "narwhal") == {thread}
    assert await _found(storage, "walrus") == set()


async def test_words_follow_the_state(storage: RunStorage, words: ThreadWords) -> None:
    thread = await _thread(storage, "otter")
    other = await _thread(storage, "otter")
    assert await words.index_changed() == 2
    assert await words.index_changed() == 0
    await _set_state(storage, thread, "badger")
    assert await words.index_changed() == 1
    assert (await _found(storage, "otter"), await _found(storage, "badger")) == ({other}, {thread})
    await storage.threads.delete(ADA, other)
    assert await _found(storage, "otter") == set()
    assert await storage.fetch_value("select count(*) from agenthall.thread_words") == 1


async def test_of_a_long_conversation_the_end_is_found(storage: RunStorage, words: ThreadWords) -> None:
    thread = await _thread(storage, "heron", *("word " * 10_000 for _ in range(3)), "egret")
    parts = [chr(0x10400 + n % 80) + chr(0x20000 + n) for n in range(20_000)]
    many_words = await _thread(storage, "-".join(parts), "stork")
    await _thread(storage, " ".join(parts), "-".join(parts[:700]), "x" * 40_000)
    await words.index_changed()
    assert await _found(storage, "egret") == {thread}
    assert await _found(storage, "heron") == set()
    assert await _found(storage, "stork") == {many_words}


async def test_a_change_that_is_committed_late_is_not_passed_by(storage: RunStorage, words: ThreadWords) -> None:
    late = await _thread(storage, "early bird")
    await words.index_changed()
    async with storage.threads.lock(ADA, late) as thread:
        assert thread is not None
        await thread.set_state(b'{"messages": [{"content": "late bird"}]}', "idle", {})
        meanwhile = await _thread(storage, "another bird")
        assert await words.index_changed() == 1
        assert await _found(storage, "bird") == {late, meanwhile}
    assert await words.index_changed() == 1
    assert await _found(storage, "late bird") == {late}


async def test_a_locked_thread_is_read_later_and_nobody_waits(storage: RunStorage, words: ThreadWords) -> None:
    first, locked, last = [await _thread(storage, "plover") for _ in range(3)]
    async with storage.threads.lock(ADA, locked):
        assert await words.index_changed() == 0
        for other in (first, last):
            async with storage.threads.lock(ADA, other):
                pass
    assert await words.index_changed() == 3
    assert await _found(storage, "plover") == {first, locked, last}


async def test_threads_of_one_moment_are_read_once(storage: RunStorage, words: ThreadWords) -> None:
    """As those of an import are. Each look goes on after the last thread of the one before."""
    await storage.admin.execute(
        """insert into agenthall.threads (thread_id, owner_id, "values", state_updated_at)
           select gen_random_uuid(), 'ada', '{"topic": "curlew"}', now() - interval '1 day' from generate_series(1, 450)"""
    )
    assert await words.index_changed() == 450
    assert await storage.threads.count(ADA, ThreadFilter(text="curlew")) == 450
    async with storage.system.acquire() as connection:
        query = "select agenthall.index_changed_threads($1, $2)"
        assert await touched(connection, query, timedelta(minutes=1), 100) < 60


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 20])
async def test_whichever_filter_is_looked_up_first_the_same_threads_are_found(
    storage: RunStorage, words: ThreadWords, limit: int
) -> None:
    """With the limit, first the words have fewer threads than it, then the metadata, and then neither."""
    matching = {await _thread(storage, "grebe") for _ in range(2)}
    grebes = matching | {await _thread(storage, "grebe") for _ in range(3)}
    marked = matching | {await _thread(storage, "teal")}
    await storage.admin.execute(
        "update agenthall.threads set metadata = '{\"marked\": true}' where thread_id = any ($1)", list(marked)
    )
    await words.index_changed()
    query = """select array_agg(found.thread_id)
                 from agenthall.act_as('ada', '{}', false) as acting
                cross join lateral (select f.thread_id from agenthall.find_matching_threads(
                  '{"marked": true}', null, null, $1, 'grebe') f where acting offset 0) as found"""
    found = await storage.app.fetchval(query, limit)
    assert len(grebes) == 5 and len(found) == min(limit, 2) and set(found) <= matching


async def test_threads_of_others_are_not_found(storage: RunStorage, words: ThreadWords) -> None:
    own, foreign = await _thread(storage, "ibis"), await _thread(storage, "ibis", principal=BEN)
    await words.index_changed()
    granted = Principal("carl", grants=Grants(threads=(Condition(own="ben"),)))
    readers = (ADA, BEN, LOCAL, granted, Principal("carl"))
    assert [await _found(storage, "ibis", each) for each in readers] == [
        {own},
        {foreign},
        {own, foreign},
        {foreign},
        set(),
    ]


async def test_a_role_of_the_app_reads_the_words_of_visible_threads_only(
    storage: RunStorage, words: ThreadWords
) -> None:
    await _thread(storage, "ibis", principal=BEN)
    await words.index_changed()
    query = """select count(*) from agenthall.act_as($1, '{}', false) as acting
                cross join lateral (select from agenthall.thread_words where acting offset 0) as found"""
    assert [await storage.app.fetchval(query, each) for each in ("ben", "ada")] == [1, 0]


async def test_workers_read_each_thread_once(storage: RunStorage, words: ThreadWords) -> None:
    threads = {await _thread(storage, "coot") for _ in range(40)}
    counts = await asyncio.gather(*(words.index_changed() for _ in range(4)))
    assert sum(counts) + await words.index_changed() == len(threads)
    assert await _found(storage, "coot") == threads


# costs

_FILL = """
insert into agenthall.threads (thread_id, owner_id, "values", state_updated_at)
select lpad(to_hex(n), 32, '0')::uuid, 'somebody', '{"messages": [{"content": "hello"}]}',
       now() - interval '1 day' - n * interval '1 s' from generate_series(1, ROWS) n;
insert into agenthall.thread_words (thread_id, owner_id, state_updated_at, words)
select t.thread_id, t.owner_id, t.state_updated_at, 'hello' from agenthall.threads t;
"""


@pytest.fixture
async def costs(postgres: str, template: str) -> list[tuple[int, int]]:
    """Buffers of a look in vain, and of one that finds twenty threads."""
    found = []
    for rows in (FEW, MANY):
        async with fresh_database(postgres, template) as url, open_pools(url, size=1) as (_, system, login):
            await load(login, _FILL.replace("ROWS", str(rows)), triggers=False)
            async with system.acquire() as connection:
                pool = CountingPool(connection)
                assert await ThreadWords(pool).index_changed() == 0  # type: ignore[arg-type]
                idle = pool.buffers
                await login.execute(
                    "update agenthall.threads set state_updated_at = now() where thread_id in"
                    " (select thread_id from agenthall.threads order by thread_id limit 20)"
                )
                query = "select agenthall.index_changed_threads($1, $2)"
                busy = await touched(connection, query, timedelta(minutes=1), 100)
            found.append((idle, busy))
    return found


async def test_a_look_reads_what_has_changed(costs: list[tuple[int, int]]) -> None:
    (few_idle, few_busy), (many_idle, many_busy) = costs
    assert 0 < many_idle <= few_idle + 20, costs
    assert 0 < many_busy <= few_busy + 100, costs
