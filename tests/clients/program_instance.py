"""An instance in a process of its own: registers, says so, and lives until it is told to drain."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "clients" / "python"))

from agenthall_client import AgentInstance, ClientError


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201 - the test reads it


async def main(agent_id: str, instance_id: str) -> None:
    try:
        async with AgentInstance(agent_id, instance_id=instance_id, drain_on_sigterm=True) as me:
            say("registered", me.registration_id, me.epoch)
            await me.until_draining()
            say("draining")
            await me.drain()
            say("drained")
            await asyncio.to_thread(sys.stdin.readline)  # until the work in hand is done
        say("gone", me.state)
    except ClientError as error:
        say("ended", type(error).__name__, me.state)


asyncio.run(main(*sys.argv[1:]))
