"""Events of many jobs are stored by one statement, in order, acknowledged after the commit, within a window."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from servers.live_server import until

from robyn_server.core.errors import Conflict, Invalid, TooMany, Unavailable
from robyn_server.core.registry.job_events import JobEvents, SentEvent
from robyn_server.core.registry.jobs import JobOutcome, JobRef
from robyn_server.registry.jobs.event_batcher import EventBatcher
from robyn_server.storage.registry.jobs.messages import AppendedEvents


class _Messages:
    """Stores events as the database does. `blocked`: each statement waits for it."""

    def __init__(self) -> None:
        self.statements: list[list[JobEvents]] = []
        self.stored: dict[UUID, int] = {}
        self.answers: dict[UUID, AppendedEvents] = {}
        self.error: Exception | None = None
        self.poison: UUID | None = None
        self.blocked = asyncio.Event()
        self.blocked.set()

    async def append_events(self, messages: Sequence[JobEvents]) -> Mapping[UUID, AppendedEvents]:
        self.statements.append(list(messages))
        await self.blocked.wait()
        if self.error is not None:
            raise self.error
        if any(each.ref.job_id == self.poison for each in messages):
            raise ValueError("poison")
        return {each.ref.job_id: self.answers.get(each.ref.job_id) or self._store(each) for each in messages}

    def _store(self, message: JobEvents) -> AppendedEvents:
        through = self.stored.get(message.ref.job_id, 0)
        if message.first_seq > through + 1:
            return AppendedEvents(JobOutcome.GAP, through)
        self.stored[message.ref.job_id] = max(through, message.last_seq)
        return AppendedEvents(JobOutcome.OK, self.stored[message.ref.job_id])


class _Announcer:
    def __init__(self) -> None:
        self.told: set[UUID] = set()

    def changed(self, job_ids: Iterable[UUID]) -> None:
        self.told |= set(job_ids)


@pytest.fixture
def messages() -> _Messages:
    return _Messages()


@pytest.fixture
def announcer() -> _Announcer:
    return _Announcer()


@pytest.fixture
async def batcher(messages: _Messages, announcer: _Announcer) -> AsyncIterator[EventBatcher]:
    made = EventBatcher(messages, announcer, batch_seconds=0.0)  # type: ignore[arg-type]
    made.start()
    yield made
    await made.stop()


def _ref(job_id: UUID | None = None, epoch: int = 1) -> JobRef:
    return JobRef(UUID(int=1), job_id or uuid4(), 1, UUID(int=2), epoch)


def _events(ref: JobRef, first_seq: int, count: int = 1, size: int = 1) -> JobEvents:
    return JobEvents(ref, first_seq, [SentEvent("token", "x" * size)] * count)


async def test_events_of_many_jobs_are_one_statement_and_their_followers_are_told(
    batcher: EventBatcher, messages: _Messages, announcer: _Announcer
) -> None:
    refs = [_ref() for _ in range(50)]
    assert await asyncio.gather(*(batcher.submit(_events(ref, 1, 2)) for ref in refs)) == [2] * 50
    assert [len(each) for each in messages.statements] == [50]
    assert announcer.told == {ref.job_id for ref in refs}


async def test_messages_of_one_job_that_follow_each_other_are_stored_as_one(
    batcher: EventBatcher, messages: _Messages
) -> None:
    ref = _ref()
    answers = await asyncio.gather(*(batcher.submit(_events(ref, first)) for first in (1, 2, 3)))
    assert answers == [3, 3, 3]
    ((merged,),) = messages.statements
    assert (merged.first_seq, len(merged.events)) == (1, 3)


async def test_a_message_that_does_not_follow_waits_for_the_next_statement(
    batcher: EventBatcher, messages: _Messages
) -> None:
    ref = _ref()
    answers = await asyncio.gather(*(batcher.submit(_events(ref, first)) for first in (1, 1, 3, 2)))
    assert answers == [1, 1, 1, 2], "3 came before 2"
    assert [[each.first_seq for each in statement] for statement in messages.statements] == [[1], [1], [3], [2]]


async def test_two_epochs_of_one_job_are_never_in_one_statement(batcher: EventBatcher, messages: _Messages) -> None:
    job_id = uuid4()
    await asyncio.gather(*(batcher.submit(_events(_ref(job_id, epoch), 1)) for epoch in (1, 2)))
    assert [len(each) for each in messages.statements] == [1, 1]


async def test_nothing_is_acknowledged_before_the_statement_ends(batcher: EventBatcher, messages: _Messages) -> None:
    messages.blocked.clear()
    waiting = asyncio.create_task(batcher.submit(_events(_ref(), 1)))
    await until(lambda: messages.statements)
    assert not waiting.done()
    messages.blocked.set()
    assert await waiting == 1


@pytest.mark.parametrize(("count", "size"), [(65, 1), (1, 256 * 1024 + 1)])
async def test_events_beyond_the_window_are_refused_until_others_are_acknowledged(
    batcher: EventBatcher, messages: _Messages, count: int, size: int
) -> None:
    messages.blocked.clear()
    ref, other = _ref(), _ref()
    with pytest.raises(TooMany) as caught:
        await batcher.submit(_events(ref, 1, count, size))
    assert (caught.value.code, caught.value.field) == ("window_exceeded", "events")
    full = asyncio.create_task(batcher.submit(_events(ref, 1, count - 1 or 1, size - 1 or 1)))
    await until(lambda: messages.statements)
    with pytest.raises(TooMany):
        await batcher.submit(_events(ref, count, 1, 1))
    beside = asyncio.create_task(batcher.submit(_events(other, 1)))
    messages.blocked.set()
    assert (await full, await beside) == (count - 1 or 1, 1)
    assert await batcher.submit(_events(ref, count if count > 1 else 2)) == (count if count > 1 else 2)


async def test_a_caller_that_goes_away_changes_nothing_for_the_others(
    batcher: EventBatcher, messages: _Messages
) -> None:
    messages.blocked.clear()
    ref = _ref()
    gone = asyncio.create_task(batcher.submit(_events(ref, 1)))
    await until(lambda: messages.statements)
    gone.cancel()
    next_one = asyncio.create_task(batcher.submit(_events(ref, 2)))
    messages.blocked.set()
    assert await next_one == 2


@pytest.mark.parametrize(
    ("outcome", "error", "code"),
    [(JobOutcome.FENCED, Conflict, "fenced"), (JobOutcome.FULL, Invalid, "too_many_events")],
)
async def test_the_answer_of_a_job_is_its_own(
    batcher: EventBatcher, messages: _Messages, announcer: _Announcer, outcome: JobOutcome, error: Any, code: str
) -> None:
    bad, good = _ref(), _ref()
    messages.answers[bad.job_id] = AppendedEvents(outcome, None if outcome is JobOutcome.FENCED else 7)
    answers = await asyncio.gather(
        batcher.submit(_events(bad, 1)), batcher.submit(_events(good, 1)), return_exceptions=True
    )
    assert isinstance(answers[0], error) and answers[0].code == code
    assert answers[1] == 1 and announcer.told == {good.job_id}


async def test_a_job_that_makes_the_statement_fail_stands_alone(batcher: EventBatcher, messages: _Messages) -> None:
    refs = [_ref() for _ in range(8)]
    messages.poison = refs[3].job_id
    answers = await asyncio.gather(*(batcher.submit(_events(ref, 1)) for ref in refs), return_exceptions=True)
    assert [isinstance(each, ValueError) for each in answers] == [number == 3 for number in range(8)]
    assert await batcher.submit(_events(refs[0], 2)) == 2


async def test_an_outage_fails_all_at_once_and_the_next_events_are_stored(
    batcher: EventBatcher, messages: _Messages
) -> None:
    messages.error = Unavailable("down")
    refs = [_ref() for _ in range(8)]
    answers = await asyncio.gather(*(batcher.submit(_events(ref, 1)) for ref in refs), return_exceptions=True)
    assert {type(each) for each in answers} == {Unavailable}
    assert len(messages.statements) == 1
    messages.error = None
    assert await batcher.submit(_events(refs[0], 1)) == 1


async def test_a_stop_stores_what_waits_and_refuses_what_comes(messages: _Messages) -> None:
    batcher = EventBatcher(messages, _Announcer(), batch_seconds=3600)  # type: ignore[arg-type]
    batcher.start()
    ref = _ref()
    assert await batcher.submit(_events(ref, 1)) == 1, "the first is not kept waiting"
    later = asyncio.create_task(batcher.submit(_events(ref, 2)))
    await asyncio.sleep(0)
    await batcher.stop()
    assert await later == 2
    with pytest.raises(Unavailable):
        await batcher.submit(_events(ref, 3))
