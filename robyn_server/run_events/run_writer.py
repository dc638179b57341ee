"""Numbers the events of one run, for whichever transport it has."""

from __future__ import annotations

from robyn_server.core.runs import ClaimedRun, RunEnd, RunEvent

from .transport import EventSink


class RunWriter:
    """Numbers the events of one run."""

    def __init__(self, sink: EventSink, run: ClaimedRun) -> None:
        self._sink = sink
        self._run = run
        self._seq = run.last_seq

    async def begin(self) -> None:
        """Begin the attempt: from now on, events of earlier ones are refused."""
        self._seq = await self._sink.begin(self._run)

    async def emit(self, event: str, data: bytes) -> None:
        self._seq += 1
        await self._sink.add(self._run, RunEvent(self._seq, self._run.attempt, event, data.decode()))

    async def end(self, end: RunEnd) -> None:
        """Return when the end is committed, or when the lease is known to be lost."""
        await self._sink.end(self._run, end, self._seq)

    def close(self) -> None:
        """Forget the run. Its events are still written."""
        self._sink.close(self._run)
