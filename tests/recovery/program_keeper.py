"""A process of ours with thousands of instances at its door: it registers them, takes their heartbeats, sweeps, and follows events.

`python program_keeper.py DSN COUNT`. SIGUSR1: a tenth of the instances die.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from uuid import UUID

from robyn_server.core.errors import Unavailable
from robyn_server.core.registry import Beat, BeatAnswer, Outcome, Registering
from robyn_server.runtime.lease_keeper import LeaseKeeper
from robyn_server.runtime.leasehold import Leasehold, open_keeper_pool
from robyn_server.runtime.sweeper import Retention
from robyn_server.storage.database import Role, open_pool
from robyn_server.storage.instances import Instances

TENANT = UUID(int=1)
AGENT = "fleet-agent"
_SLICES = 100
_TOGETHER = 500


async def _register(instances: Instances, keeper: LeaseKeeper, number: int) -> Beat:
    asked = Registering(agent_id=AGENT, instance_id=f"i{number}")
    made = await instances.register(TENANT, asked, registered_by="fleet", keeper_id=keeper.id)
    return Beat(TENANT, made.registration_id, made.epoch)


async def _registered(instances: Instances, keeper: LeaseKeeper, count: int) -> list[Beat]:
    """Those who are there beat while others register."""
    living: list[Beat] = []
    for first in range(0, count, _TOGETHER):
        numbers = range(first, min(first + _TOGETHER, count))
        living += await asyncio.gather(*(_register(instances, keeper, number) for number in numbers))
        await asyncio.gather(*map(keeper.beat, living))
    return living


async def _round(keeper: LeaseKeeper, living: list[Beat], interval: float) -> float:
    """Each beats once within the interval; the next interval."""
    for number in range(_SLICES):
        asked = (keeper.beat(each) for each in living[number::_SLICES])
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            interval = _next(answer, interval)
        await asyncio.sleep(interval / _SLICES)
    return interval


def _next(answer: BeatAnswer | BaseException, interval: float) -> float:
    if isinstance(answer, Unavailable):
        return interval
    if isinstance(answer, BaseException):
        raise answer
    if answer.outcome is not Outcome.OK:
        _say(f"refused: {answer.outcome}")
    return answer.heartbeat_interval_seconds


def _say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def main(dsn: str, count: int) -> None:
    app, system = [await open_pool(dsn, role, size=8, name="fleet") for role in (Role.APP, Role.SYSTEM)]
    leasehold = Leasehold(system, await open_keeper_pool(dsn, "fleet"), "fleet", Retention())
    leasehold.start()
    living = await _registered(Instances(app), leasehold.keeper, count)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, living.__delitem__, slice(count // 10))
    _say("ready")
    interval = 5.0
    while True:
        interval = await _round(leasehold.keeper, living, interval)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
