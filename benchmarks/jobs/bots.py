"""Bots in processes of their own: `python -m benchmarks.jobs.bots KIND AGENT_ID URL COUNT SLOTS` runs until SIGTERM.

KIND is echo, tokens (50 a second for ten seconds, each the time), hold (20 seconds of work), slow (0.3 s of work), or
idle (takes no jobs).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from agenthall_client import AgentInstance

TOKENS_PER_SECOND = 50
TOKENS_SECONDS = 10


async def _echo(job: Any) -> str:
    return f"You said: {job.messages[-1]['content']}"


async def _tokens(_job: Any) -> AsyncIterator[str]:
    began = time.monotonic()
    for number in range(TOKENS_PER_SECOND * TOKENS_SECONDS):
        await asyncio.sleep(max(0.0, began + number / TOKENS_PER_SECOND - time.monotonic()))
        yield f"{time.time():.4f} "


async def _hold(_job: Any) -> str:
    await asyncio.sleep(20)
    return "held"


async def _slow(_job: Any) -> str:
    await asyncio.sleep(0.3)
    return "done"


HANDLERS = {"echo": _echo, "tokens": _tokens, "hold": _hold, "slow": _slow}


async def _run(kind: str, agent_id: str, url: str, number: int, slots: int) -> None:
    name = f"{kind}-{number}"
    if kind == "idle":
        async with AgentInstance(agent_id, url=url, instance_id=name):
            await asyncio.Event().wait()
        return
    async with AgentInstance(agent_id, url=url, instance_id=name, slots=slots) as me:
        await me.serve(HANDLERS[kind])


async def main(kind: str, agent_id: str, url: str, count: int, slots: int, first: int = 0) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    bots = [asyncio.create_task(_run(kind, agent_id, url, first + number, slots)) for number in range(count)]
    await stopping.wait()
    for bot in bots:
        bot.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*bots)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], *map(int, sys.argv[4:])))
