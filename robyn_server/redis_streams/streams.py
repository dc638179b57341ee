"""The streams of runs: append, begin an attempt, read, expire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from redis.exceptions import NoScriptError, ResponseError

from robyn_server.core.errors import Misconfigured, Unavailable
from robyn_server.core.runs import RunEvent
from robyn_server.core.urls.redis_url import redis_address

from .client import Client, translated
from .scripts import load_script

KEPT_AFTER_END = timedelta(seconds=60)
"""A stream outlives the end of its run in the database, which is swept a little later than it could be."""

_OPEN_FOR = timedelta(hours=1)
"""How long a stream lives after a sign of life of its worker."""

_UNLINKED = 500


@dataclass(frozen=True, slots=True)
class Appended:
    """Result for the events of one run.

    `error`: Redis refused them. `is_fenced`: a later attempt of the run has begun.
    """

    is_fenced: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Events of one run in order. `has_more`: the page was cut."""

    events: Sequence[RunEvent] = ()
    has_more: bool = False


class RunEventStreams:
    """`most`: entries that a stream keeps, or a few more; 0: any number. `ttl`: life after the end of its run."""

    def __init__(self, client: Client, url: str, prefix: str, *, most: int, ttl: timedelta) -> None:
        self._client = client
        self._url = url
        self._prefix = prefix
        self._most = most
        self._ttl = ttl + KEPT_AFTER_END

    @property
    def channel(self) -> str:
        """Where the ids of runs with new events are published, separated by commas."""
        return f"{self._prefix}wake"

    def key(self, run_id: UUID) -> str:
        # The braces keep what belongs to a run in one slot of a cluster.
        return f"{self._prefix}run:{{{run_id}}}:events"

    async def append(self, runs: Sequence[tuple[UUID, int, Sequence[RunEvent]]]) -> list[Appended]:
        """Add events of runs, each with its attempt, and wake readers.

        Raises Unavailable: then some may have been added.
        """
        calls = [
            (self.key(run_id), attempt, _milliseconds(_OPEN_FOR), self._most, *_arguments(events))
            for run_id, attempt, events in runs
        ]
        answers = await self._call("append", calls, wake=[run_id for run_id, _, _ in runs])
        return [_appended(answer) for answer in answers]

    async def begin(self, run_id: UUID, attempt: int, seq: int) -> int | None:
        """Begin an attempt, whose events are to follow `seq`. Return the seq that they follow; None when it is over."""
        (answer,) = await self._call("begin", [(self.key(run_id), attempt, seq, _milliseconds(_OPEN_FOR))])
        return None if _checked(answer) < 0 else int(answer)

    async def read(self, after: Mapping[UUID, int], limit: int, max_bytes: int) -> dict[UUID, Page]:
        """Read up to `limit` events of each run after the seq given for it, and no more once they have `max_bytes`."""
        calls = [(self.key(run_id), seq + 1, limit, max_bytes) for run_id, seq in after.items()]
        answers = await self._call("read", calls)
        return {run_id: _page(_checked(answer)) for run_id, answer in zip(after, answers, strict=True)}

    async def has(self, run_id: UUID, seq: int) -> bool:
        """Whether the stream still has the event with that number."""
        with translated(self._url):
            return bool(await self._client.xrange(self.key(run_id), seq, seq, count=1))

    async def last_seq(self, run_id: UUID) -> int:
        """The largest number that an event of the stream has had; 0 without a stream."""
        (answer,) = await self._call("last", [(self.key(run_id),)])
        return int(_checked(answer))

    async def keep(self, run_ids: Iterable[UUID]) -> None:
        """Extend the life of the streams of runs that go on."""
        await self._expire(run_ids, _OPEN_FOR)

    async def expire(self, run_ids: Iterable[UUID]) -> None:
        """Let the streams of ended runs expire."""
        await self._expire(run_ids, self._ttl)

    async def delete(self, run_ids: Sequence[UUID]) -> None:
        with translated(self._url):
            for at in range(0, len(run_ids), _UNLINKED):
                await self._client.unlink(*map(self.key, run_ids[at : at + _UNLINKED]))

    async def probe(self) -> None:
        """Write, read and delete a stream.

        Raises Misconfigured where the user lacks a right, Unavailable where Redis refuses it now.
        """
        run_id = uuid4()
        (answer,) = await self.append([(run_id, 1, [RunEvent(1, 1, "probe", "{}")])])
        if answer.error is not None:
            refused = Misconfigured if "NOPERM" in answer.error else Unavailable
            raise refused(f"Redis at {redis_address(self._url)} refuses to write: {answer.error}", field="REDIS_URL")
        await self.read({run_id: 0}, 1, 1)
        await self.delete([run_id])

    async def ping(self) -> None:
        with translated(self._url):
            await self._client.ping()

    async def _expire(self, run_ids: Iterable[UUID], life: timedelta) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for run_id in run_ids:
            pipeline.pexpire(self.key(run_id), life)
        with translated(self._url):
            await pipeline.execute()

    async def _call(self, name: str, calls: Sequence[tuple[Any, ...]], wake: Sequence[UUID] = ()) -> list[Any]:
        """Run a script once for each tuple of a key and arguments, in one round trip.

        Return answers, and errors in their place.
        """
        script = load_script(name)
        with translated(self._url):
            answers = await self._execute(script.sha, calls, wake)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                await self._client.script_load(script.source)
                answers = await self._execute(script.sha, calls, wake)
        return answers

    async def _execute(self, sha: str, calls: Sequence[tuple[Any, ...]], wake: Sequence[UUID]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(sha, 1, *call)
        if wake:
            pipeline.publish(self.channel, ",".join(map(str, wake)))
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        if wake and isinstance(answers[-1], Exception):
            raise answers[-1]
        return answers[: len(calls)]


def _arguments(events: Sequence[RunEvent]) -> list[Any]:
    return [part for event in events for part in (event.seq, event.event, event.data)]


def _appended(answer: Any) -> Appended:
    if isinstance(answer, Exception):
        return Appended(error=str(answer))
    return Appended(is_fenced=answer == 0)


def _checked(answer: Any) -> Any:
    """Raises Unavailable for the error of one call."""
    if isinstance(answer, ResponseError):
        raise Unavailable(f"Redis refuses a call: {answer}", code="redis_unavailable")
    return answer


def _page(answer: list[Any]) -> Page:
    fields = iter(answer[1:])
    return Page([_event(*entry) for entry in zip(fields, fields, fields, strict=True)], has_more=bool(answer[0]))


def _event(entry_id: bytes, name: bytes, data: bytes) -> RunEvent:
    seq, _, attempt = entry_id.decode().partition("-")
    return RunEvent(int(seq), int(attempt), name.decode(), data.decode())


def _milliseconds(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
