"""Serve jobs until the instance drains. Arguments: agent_id, and the options of AgentInstance as JSON.

A job's input says what to do: emit `tokens` numbers, `seconds` apart. So does a message: "40", or "40 0.05". With a
third word, the name of a file, there are more numbers until that file exists. Attempts up to
`held_attempts` stop after the first number, until the process ends.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "clients" / "python"))

from agenthall_client import AgentInstance, ClientError, Job, Timing


def report(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201 - the test reads it


def asked_of(job: Job) -> tuple[int, float, Path]:
    if "tokens" in job.input:
        return job.input["tokens"], job.input.get("seconds", 0), Path("/")
    tokens, seconds, file = [*str(job.messages[-1]["content"]).split(), "0", "/"][:3]
    return int(tokens), float(seconds), Path(file)


async def count(job: Job) -> AsyncIterator[str]:
    report("begins", job.job_id, job.attempt)
    tokens, seconds, file = asked_of(job)
    for number in itertools.count():
        if number >= tokens and file.exists():
            return
        yield f"{number} "
        if job.attempt <= job.input.get("held_attempts", 0):
            await asyncio.Event().wait()
        await asyncio.sleep(seconds)


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
