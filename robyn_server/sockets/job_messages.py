"""Messages about jobs of one socket that are being answered.

They are answered beside each other and beside other messages, because each waits for the database. Those about one job
keep their order: events wait for what is not events, and everything else waits for all before it. Events need not wait
for events, because the batch that stores them keeps their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from robyn_server.sockets.protocol.envelope import Message

_EVENTS = "job.events"


Answer = Callable[[Message], Awaitable[None]]


class JobMessages:
    __slots__ = ("_of_job", "_tasks")

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._of_job: dict[str, list[tuple[bool, asyncio.Task[None]]]] = {}
        """For each job, whether a message has events, and its task, in their order."""

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, message: Message, answer: Answer) -> None:
        """`answer` writes the reply of a message, and raises nothing."""
        job_id, is_events = str(message.params.get("job_id")), message.method == _EVENTS
        earlier = self._of_job.setdefault(job_id, [])
        before = [task for has_events, task in earlier if not (is_events and has_events)]
        task = asyncio.create_task(_answer_after(before, message, answer), name=message.method)
        entry = (is_events, task)
        earlier.append(entry)
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._forget(job_id, entry))

    async def wait(self, seconds: float) -> None:
        """Wait until all are answered."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    def _forget(self, job_id: str, entry: tuple[bool, asyncio.Task[None]]) -> None:
        self._tasks.discard(entry[1])
        self._of_job[job_id].remove(entry)
        if not self._of_job[job_id]:
            del self._of_job[job_id]


async def _answer_after(before: list[asyncio.Task[None]], message: Message, answer: Answer) -> None:
    if before:
        await asyncio.wait(before)
    await answer(message)
