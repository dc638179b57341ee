"""Run one AgentInstance until it drains. Arguments: agent_id, instance_id. Prints one line for each event."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "clients" / "python"))

from agenthall_client import AgentInstance, ClientError


def report(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201 - the test reads it


async def main(agent_id: str, instance_id: str) -> None:
    try:
        async with AgentInstance(agent_id, instance_id=instance_id, drain_on_sigterm=True) as me:
            report("registered", me.registration_id, me.epoch)
            await me.until_draining()
            report("draining")
            await me.drain()
            report("drained")
            await asyncio.to_thread(sys.stdin.readline)  # the test writes a line when the work is done
        report("closed", me.state)
    except ClientError as error:
        report("failed", type(error).__name__, me.state)


asyncio.run(main(*sys.argv[1:]))
