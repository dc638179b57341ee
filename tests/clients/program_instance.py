"""Run one AgentInstance until it drains. Prints one line for each event.

Arguments: agent_id, instance_id, and `blocking` for the client without asyncio.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "clients" / "python"))

from agenthall_client import AgentInstance, ClientError, sync


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


def main_without_asyncio(agent_id: str, instance_id: str) -> None:
    with sync.AgentInstance(agent_id, instance_id=instance_id, drain_on_sigterm=True) as me:
        report("registered", me.registration_id, me.epoch)
        me.until_draining()
        report("draining")
        me.drain()
        report("drained")
        sys.stdin.readline()
    report("closed", me.state)


if sys.argv[-1] == "blocking":
    main_without_asyncio(*sys.argv[1:3])
else:
    asyncio.run(main(*sys.argv[1:]))
