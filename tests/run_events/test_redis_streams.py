"""Streams of runs in Redis expire, are bounded and named as the settings say, and servers that cannot be used are
refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from event_transports import Transport, begun, open_redis, redis_options, written
from network.certificates import tls_proxy
from remote.valkey_server import ValkeyServer, requires_valkey, valkey_server
from run_queue_database import SUCCESS, open_run_queue_database
from servers.live_server import until

from robyn_server.core.errors import Misconfigured, Unavailable
from robyn_server.core.ids import new_id
from robyn_server.core.runs import EventTransport, RunEvent
from robyn_server.redis_streams.connection import RedisConnection, describe_server

pytestmark = requires_valkey
WORKER, RUN = new_id(), new_id()
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "use-redis.md"


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with valkey_server() as server:
        yield server


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[RedisConnection]:
    async with open_redis(redis_options(valkey.url, f"{uuid4()}:")) as redis:
        yield redis


def _events(*seqs: int) -> list[RunEvent]:
    return [RunEvent(seq, 1, "custom", str(seq)) for seq in seqs]


async def _seqs(redis: RedisConnection, after: int = 0, limit: int = 1000, max_bytes: int = 10**6) -> list[int]:
    pages = await redis.streams.read({RUN: after}, limit, max_bytes)
    return [event.seq for event in pages[RUN].events]


async def test_a_repeated_write_adds_nothing_twice(redis: RedisConnection) -> None:
    await redis.streams.append([(RUN, 1, _events(1, 2))])
    (again,) = await redis.streams.append([(RUN, 1, _events(1, 2, 3))])
    assert (again.is_fenced, again.error) == (False, None)
    assert await _seqs(redis) == [1, 2, 3]


async def test_scripts_are_sent_again_to_a_server_that_lost_them(redis: RedisConnection) -> None:
    await redis.streams.append([(RUN, 1, _events(1))])
    await redis._client.script_flush()
    await redis.streams.append([(RUN, 1, _events(2))])
    assert await _seqs(redis) == [1, 2]


async def test_a_begun_attempt_fences_the_earlier_one_and_follows_its_events(redis: RedisConnection) -> None:
    streams = redis.streams
    await streams.append([(RUN, 1, _events(1, 2))])
    assert await streams.begin(RUN, 2, 10_000_000) == 10_000_000
    assert await streams.begin(RUN, 2, 10_000_000) == 10_000_000, "a repeated call"
    (late,) = await streams.append([(RUN, 1, _events(3))])
    assert late.is_fenced
    assert await streams.begin(RUN, 1, 0) is None
    assert await streams.last_seq(RUN) == 10_000_000
    await streams.append([(RUN, 2, [RunEvent(10_000_001, 2, "custom", "x")])])
    assert await _seqs(redis) == [1, 2, 10_000_001]
    longer = new_id()
    await streams.append([(longer, 1, _events(10_000_005))])
    assert await streams.begin(longer, 2, 10_000_000) == 10_000_005


async def test_pages_are_cut_by_events_and_by_bytes(redis: RedisConnection) -> None:
    await redis.streams.append([(RUN, 1, [RunEvent(seq, 1, "custom", "x" * 100) for seq in range(1, 101)])])
    for after, limit, max_bytes, expected in (
        (0, 1000, 10**6, range(1, 101)),
        (99, 1000, 10**6, range(100, 101)),
        (100, 1000, 10**6, range(0)),
        (0, 30, 10**6, range(1, 31)),
        (0, 1000, 950, range(1, 11)),
        (0, 1000, 1, range(1, 2)),
    ):
        assert await _seqs(redis, after, limit, max_bytes) == list(expected)
    page = (await redis.streams.read({RUN: 0}, 30, 10**6))[RUN]
    assert page.has_more
    assert not (await redis.streams.read({RUN: 90}, 30, 10**6))[RUN].has_more


async def test_streams_expire_and_have_the_prefix(valkey: ValkeyServer, database: str) -> None:
    async with open_run_queue_database(database) as queue_db, open_redis(redis_options(valkey.url, "mine:")) as redis:
        transport = Transport(EventTransport.REDIS, queue_db, redis)
        async with transport.worker(WORKER) as sink:
            run = await transport.claim(WORKER)
            writer = await begun(sink, run)
            await writer.emit("custom", b"1")
            await written(transport, run, 1)
            key = f"mine:run:{{{run.run_id}}}:events".encode()
            assert await redis._client.keys("mine:*") == [key]
            assert 180 < await redis._client.ttl(key) <= 3600
            await writer.end(SUCCESS)
            await until(lambda: _is_short(redis, key))


async def _is_short(redis: RedisConnection, key: bytes) -> bool:
    return 0 < await redis._client.ttl(key) <= 180


async def test_a_stream_keeps_about_so_many_events(valkey: ValkeyServer) -> None:
    async with open_redis(redis_options(valkey.url, f"{uuid4()}:", most=200)) as redis:
        await redis.streams.append([(RUN, 1, _events(*range(1, 2001)))])
        kept = await _seqs(redis, limit=5000)
        assert 200 <= len(kept) < 400
        assert kept[-1] == 2000


async def test_a_wake_up_reaches_another_connection(valkey: ValkeyServer, redis: RedisConnection) -> None:
    heard: list[str] = []
    connected = asyncio.Event()
    wakeups = redis.wakeups(heard.append, connected.set)
    wakeups.start()
    await connected.wait()
    await redis.streams.append([(RUN, 1, _events(1))])
    await until(lambda: heard == [str(RUN)])
    connected.clear()
    valkey.kill()
    valkey.start()
    await connected.wait()
    heard.clear()
    await redis.streams.append([(RUN, 1, _events(2))])
    await until(lambda: str(RUN) in heard)
    await wakeups.stop()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--cluster-enabled", "yes", "--cluster-config-file", "{folder}/nodes.conf"), "is a cluster"),
        (("--replicaof", "127.0.0.1", "1"), "is a replica"),
        (("--requirepass", "the-secret"), "refuses the user"),
    ],
)
async def test_a_server_that_cannot_be_used_is_refused(options: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    with valkey_server(*(option.format(folder=tmp_path) for option in options)) as server:
        url = (
            server.url.replace("redis://", "redis://:wrong-password@") if "requirepass" in str(options) else server.url
        )
        with pytest.raises(Misconfigured, match=reason) as error:
            await describe_server(redis_options(url, "test:"))
        assert "wrong-password" not in str(error.value)


async def test_a_password_a_database_and_a_socket_are_used(tmp_path: Path) -> None:
    path = tmp_path / "valkey.sock"
    with valkey_server("--requirepass", "the secret", "--unixsocket", str(path)) as server:
        for url in (
            server.url.replace("redis://", "redis://:the%20secret@"),
            f"unix://{path}?db=3&password=the%20secret",
        ):
            assert "the" not in (await describe_server(redis_options(url, "test:"))).split("at ", 1)[0]
        async with open_redis(redis_options(f"unix://{path}?db=3&password=the%20secret", "test:")) as redis:
            await redis.streams.append([(RUN, 1, _events(1))])
            assert (await redis._client.info("keyspace")).keys() == {"db3"}


async def test_a_connection_with_tls_needs_a_certificate_that_is_known(valkey: ValkeyServer, tmp_path: Path) -> None:
    async with tls_proxy(tmp_path, valkey.port) as port:
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path}/fullchain.pem"
        async with open_redis(redis_options(url, f"{uuid4()}:")) as redis:
            assert redis.health.is_up
            await redis.streams.append([(RUN, 1, _events(1))])
            assert await _seqs(redis) == [1]
        with pytest.raises(Unavailable, match=r"(?i)certificate.verify.failed"):
            await describe_server(redis_options(f"rediss://127.0.0.1:{port}/0", "test:"))


_COMMANDS = (
    "evalsha script|load xadd xdel xrange xinfo|stream exists pexpire unlink publish subscribe ping info"
    " client|setname client|setinfo"
)
"""Those that docs/how-to/use-redis.md lists."""


async def test_a_user_with_the_documented_rights_is_enough(
    valkey: ValkeyServer, redis: RedisConnection, database: str
) -> None:
    assert all(command in PAGE.read_text() for command in _COMMANDS.split())
    rights = [f"+{command}" for command in _COMMANDS.split()]
    await redis._client.execute_command(
        "acl", "setuser", "agenthall", "on", ">secret", "~agenthall:*", "&agenthall:*", *rights
    )
    url = valkey.url.replace("redis://", "redis://agenthall:secret@")
    async with open_run_queue_database(database) as queue_db, open_redis(redis_options(url, "agenthall:")) as limited:
        transport = Transport(EventTransport.REDIS, queue_db, limited)
        async with transport.worker(WORKER) as sink:
            run = await transport.claim(WORKER)
            await queue_db.queue.release(WORKER, drained=True)
            writer = await begun(sink, await transport.claim_next(WORKER))
            await writer.emit("custom", b"1")
            await writer.end(SUCCESS)
            key = limited.streams.key(run.run_id).encode()
            await until(lambda: _is_short(redis, key))
            assert await limited.streams.has(run.run_id, 10_000_001)
            assert limited.health.is_up
    with pytest.raises(Misconfigured, match=r"NOPERM|refuses") as error:
        await describe_server(redis_options(url, "other:"))
    assert "secret" not in str(error.value)


async def test_a_server_that_does_not_answer_is_named_without_its_password(valkey: ValkeyServer) -> None:
    with pytest.raises(Unavailable, match=r"Redis at redis://127\.0\.0\.1:1/0 does not answer") as error:
        await describe_server(redis_options("redis://:hidden@127.0.0.1:1/0", "test:"))
    assert "hidden" not in str(error.value)
    async with open_redis(redis_options("redis://127.0.0.1:1/0", "test:")) as redis:
        assert not redis.health.is_up
