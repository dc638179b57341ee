from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Awaitable, Callable

import pytest
from servers.web_process import until

from robyn_server.core.errors import NotFound, TooMany, Unavailable
from robyn_server.web.http.messages import JSON, End, Sink, Stream
from robyn_server.web.robyn.server import workers_for
from robyn_server.web.streams.bridge import BATCH_ITEMS, ResponseIterator
from robyn_server.web.streams.open_streams import OpenStreams
from robyn_server.web.streams.slots import StreamSlot


async def pulled(stream: ResponseIterator) -> bytes:
    """Everything, pulled from another thread as Robyn does it."""
    return await asyncio.to_thread(lambda: b"".join(stream))


async def started(streams: OpenStreams, stream: Stream, slot: StreamSlot | None = None) -> ResponseIterator:
    """A stream that is sent in parts."""
    body = await streams.answer(stream, slot)
    assert isinstance(body, ResponseIterator)
    return body


def forever(ends: list[End | None]) -> Stream:
    async def produce(sink: Sink) -> None:
        try:
            await sink.put(b"first")
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ends.append(sink.end)

    return Stream(produce)


@pytest.mark.parametrize(
    ("streams", "cpus", "workers"), [(400, 2, 4), (400, 1, 2), (1, 64, 1), (400, 16, 25), (1, 1024, 2)]
)
def test_workers_follow_the_stream_budget(streams: int, cpus: int, workers: int) -> None:
    assert workers_for(streams, cpus) == workers


async def test_what_is_put_comes_out_in_order_and_then_it_ends() -> None:
    async def produce(sink: Sink) -> None:
        for number in range(1000):
            await sink.put(b"%d," % number)

    streams = OpenStreams(1, 5)
    assert await pulled(await started(streams, Stream(produce))) == b"".join(b"%d," % number for number in range(1000))
    await until(lambda: streams.open == 0)
    assert (streams.producing, streams.disconnected) == (0, 0)


async def test_one_pull_takes_at_most_a_batch() -> None:
    async def produce(sink: Sink) -> None:
        for _ in range(BATCH_ITEMS + 1):
            await sink.put(b"x")

    streams = OpenStreams(1, 5)
    stream = await started(streams, Stream(produce))
    await until(lambda: not streams.producing)
    assert [len(next(stream)), len(next(stream))] == [BATCH_ITEMS, 1]
    with pytest.raises(StopIteration):
        next(stream)


async def test_a_silent_stream_gives_heartbeats_and_nothing_between_them() -> None:
    stream = await started(OpenStreams(1, 0.05), forever([]))
    await asyncio.sleep(0)
    chunks = [await asyncio.to_thread(next, stream) for _ in range(4)]
    assert chunks[0] == b"first"
    assert set(chunks[1:]) <= {b"", b": heartbeat\r\n\r\n"}
    assert b": heartbeat\r\n\r\n" in chunks


async def test_a_pull_never_waits_longer_than_a_slice() -> None:
    stream = await started(OpenStreams(1, 60), forever([]))
    await asyncio.sleep(0)
    assert next(stream) == b"first"
    began = time.monotonic()
    assert await asyncio.to_thread(next, stream) == b""
    assert time.monotonic() - began < 30, "a slice, not the heartbeat's minute"


async def test_a_dropped_iterator_cancels_the_producer_on_the_loop() -> None:
    streams, ends = OpenStreams(1, 5), list[End | None]()
    stream = await started(streams, forever(ends))
    await asyncio.sleep(0)
    await asyncio.to_thread(stream.__next__)
    del stream
    await until(lambda: ends == [End.CLIENT_GONE])
    assert (streams.open, streams.disconnected) == (0, 1)


async def test_a_stream_over_the_limit_is_refused_and_counted() -> None:
    streams = OpenStreams(2, 5)
    with streams.reserve("a"):
        stream = await started(streams, forever([]))
    with streams.reserve("a"), pytest.raises(Unavailable, match="Too many open streams"), streams.reserve("a"):
        raise AssertionError("room for two is promised to one and taken by another")
    assert streams.refused == 1
    with streams.reserve("a"):
        del stream


async def test_a_producer_waits_for_a_slow_reader() -> None:
    put = []

    async def produce(sink: Sink) -> None:
        for number in range(10):
            await sink.put(b"x" * 100)
            put.append(number)

    streams = OpenStreams(1, 5, buffer_bytes=250)
    stream = await started(streams, Stream(produce))
    await until(lambda: len(put) == 2)
    assert len(await pulled(stream)) == 1000
    assert len(put) == 10
    assert streams.slow_readers == 0


async def test_a_reader_that_does_not_read_ends_the_stream() -> None:
    ends: list[End | None] = []

    async def produce(sink: Sink) -> None:
        try:
            while True:
                await sink.put(b"x" * 100)
        finally:
            ends.append(sink.end)

    streams = OpenStreams(1, 5, buffer_bytes=250, stall_seconds=0.05)
    stream = await started(streams, Stream(produce))
    await until(lambda: ends == [End.SLOW_READER])
    assert (streams.slow_readers, streams.open) == (1, 0)
    del stream


async def test_a_drain_ends_resumable_streams_and_takes_their_last_words() -> None:
    async def produce(sink: Sink) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            assert sink.end is End.DRAINING
            await sink.put(b"bye")

    streams, ends = OpenStreams(2, 5), list[End | None]()
    resumable = await started(streams, Stream(produce, resumable=True))
    other = await started(streams, forever(ends))
    await asyncio.sleep(0)
    streams.end_resumable()
    assert await pulled(resumable) == b"bye"
    assert ends == []
    streams.truncate_all()
    assert next(other) == b"first"
    while not ends:
        await asyncio.sleep(0)
    assert ends == [End.DRAINING]
    assert not await asyncio.to_thread(next, other), "a body that is cut never looks whole"


async def test_a_failing_producer_ends_its_stream() -> None:
    async def produce(sink: Sink) -> None:
        await sink.put(b"a")
        raise ValueError("x")

    assert await pulled(await started(OpenStreams(1, 5), Stream(produce))) == b"a"


async def taken(streams: OpenStreams, identity: str, stream: Stream) -> ResponseIterator:
    """As the edge does it: promised, then started."""
    with streams.reserve(identity) as slot:
        return await started(streams, stream, slot)


async def test_one_principal_has_its_share_and_another_still_gets_a_stream() -> None:
    streams = OpenStreams(4, 5, share=2)
    held = [await taken(streams, "a", forever([])) for _ in range(2)]
    with pytest.raises(TooMany, match="You have 2 streams open") as caught:
        await taken(streams, "a", forever([]))
    assert (caught.value.code, streams.refused) == ("too_many_own_streams", 1)
    other = await taken(streams, "b", forever([]))
    del held[0]
    await until(lambda: len(streams.slots) == 2)
    again = await taken(streams, "a", forever([]))
    assert streams.open == 3
    del held, other, again
    await until(lambda: len(streams.slots) == streams.open == 0)


async def test_a_promise_that_nothing_came_of_gives_its_seat_back() -> None:
    streams = OpenStreams(1, 5, share=1)
    with streams.reserve("a"):
        assert len(streams.slots) == 1
    with pytest.raises(ValueError, match="in the handler"), streams.reserve("a"):
        raise ValueError("in the handler")
    with streams.reserve("a"), pytest.raises(Unavailable), streams.reserve("b"):
        raise AssertionError("the process is full")
    assert len(streams.slots) == 0


async def test_a_stream_that_was_read_to_its_end_and_dropped_gives_one_seat_back() -> None:
    async def produce(sink: Sink) -> None:
        await sink.put(b"a")

    streams = OpenStreams(4, 5, share=2)
    other = await taken(streams, "a", forever([]))
    ended = await taken(streams, "a", Stream(produce))
    assert await pulled(ended) == b"a"
    del ended
    await until(lambda: streams.open == 1)
    await asyncio.sleep(0)
    assert len(streams.slots) == 1
    del other


async def test_a_reader_that_stalls_keeps_its_seat_until_it_is_gone() -> None:
    async def produce(sink: Sink) -> None:
        while True:
            await sink.put(b"x" * 100)

    streams = OpenStreams(4, 5, buffer_bytes=250, stall_seconds=0.05, share=1)
    stream = await taken(streams, "a", Stream(produce))
    await until(lambda: streams.slow_readers == 1)
    assert (streams.open, len(streams.slots)) == (0, 1)
    with pytest.raises(TooMany):
        await taken(streams, "a", forever([]))
    del stream
    await until(lambda: len(streams.slots) == 0)


async def test_a_stream_that_is_refused_ends_with_the_last_words() -> None:
    streams, ends = OpenStreams(1, 5), list[End | None]()
    stream = await started(streams, forever(ends))
    await asyncio.sleep(0)
    (opened,) = streams
    streams.refuse(opened, b",bye")
    streams.refuse(opened, b",twice")
    assert await pulled(stream) == b"first,bye"
    assert (ends, streams.ended_as_refused) == ([End.REFUSED], 1)
    streams.refuse(opened, b"after the end")
    assert opened.queue.items.empty()


async def test_an_answer_in_json_that_is_on_its_way_is_never_followed_by_another() -> None:
    async def produce(sink: Sink) -> None:
        await sink.put(b'{"whole":true}')
        await done.wait()

    streams, done = OpenStreams(1, 5), asyncio.Event()
    stream = await started(streams, Stream(produce, media_type=JSON))
    await asyncio.sleep(0)
    (opened,) = streams
    streams.refuse(opened, b'{"__error__":{}}')
    done.set()
    assert await pulled(stream) == b'{"whole":true}'


async def test_a_closed_stream_leaves_no_cycle_behind() -> None:
    streams = OpenStreams(1, 5)
    gc.disable()
    try:
        stream = await started(streams, forever([]))
        await asyncio.sleep(0)
        (opened,) = streams
        gone = weakref.ref(opened.writer)
        del opened, stream
        await until(lambda: gone() is None)
    finally:
        gc.enable()


def whole(produce: Callable[[Sink], Awaitable[None]], seconds: float = 60) -> Stream:
    return Stream(produce, media_type=JSON, whole_within=seconds)


async def test_a_body_that_comes_in_time_is_one_response_and_its_slot_is_free() -> None:
    async def produce(sink: Sink) -> None:
        for part in (b"[1,", b"2]"):
            await asyncio.sleep(0)
            await sink.put(part)

    streams = OpenStreams(1, 5, share=1)
    with streams.reserve("ada") as slot:
        assert await streams.answer(whole(produce), slot) == b"[1,2]"
    assert (streams.open, streams.producing, streams.disconnected, len(streams.slots)) == (0, 0, 0, 0)


async def test_a_body_that_takes_longer_is_sent_in_parts() -> None:
    goes_on = asyncio.Event()

    async def produce(sink: Sink) -> None:
        await sink.put(b"[1,")
        await goes_on.wait()
        await sink.put(b"2]")

    streams = OpenStreams(1, 5)
    body = await streams.answer(whole(produce, 0.01))
    assert isinstance(body, ResponseIterator) and streams.open == 1
    goes_on.set()
    assert await pulled(body) == b"[1,2]"


async def test_a_failure_in_time_decides_the_status() -> None:
    async def produce(_: Sink) -> None:
        raise NotFound("no such run")

    streams = OpenStreams(1, 5)
    with pytest.raises(NotFound, match="no such run"):
        await streams.answer(whole(produce))
    assert (streams.open, streams.producing) == (0, 0)


async def test_a_request_that_is_cancelled_while_it_waits_ends_the_producer() -> None:
    ends: list[End | None] = []
    streams = OpenStreams(1, 5)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await streams.answer(whole(forever(ends).produce))
    await until(lambda: ends == [End.CLIENT_GONE])
    assert (streams.open, streams.producing) == (0, 0)


async def test_a_body_that_is_cut_off_is_never_sent_as_a_whole() -> None:
    streams = OpenStreams(1, 5)
    answer = asyncio.create_task(streams.answer(whole(forever([]).produce)))
    await until(lambda: streams.producing == 1)
    streams.truncate_all()
    assert isinstance(await answer, ResponseIterator)
