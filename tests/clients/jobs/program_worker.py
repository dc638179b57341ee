"""Serve jobs until the instance drains. Arguments: agent_id, and the options of AgentInstance as JSON.

A job's input says what to do: emit `tokens` numbers, `seconds` apart. A message says how many, too. Attempts up to
`held_attempts` stop after the first number, until the process ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "clients" / "python"))

from agenthall_client import AgentInstance, ClientError, Job, Timing


def report(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201 - the test reads it


async def count(job: Job) -> AsyncIterator[str]:
    report("begins", job.job_id, job.attempt)
    count = job.input.get("tokens") or int(job.messages[-1]["content"])
    for number in range(count):
        yield f"{number} "
        if job.attempt <= job.input.get("held_attempts", 0):
            await asyncio.Event().wait()
        await asyncio.sleep(job.input.get("seconds", 0))


async def main(agent_id: str, options: str) -> None:
    timing = Timing(keepalive=2.0, backoff_first=0.05, backoff_most=0.5)
    try:
        async with AgentInstance(agent_id, **json.loads(options), timing=timing, drain_on_sigterm=True) as me:
            report("registered", me.epoch)
            await me.serve(count)
        report("closed")
    except ClientError as error:
        report("failed", type(error).__name__)


asyncio.run(main(*sys.argv[1:]))
