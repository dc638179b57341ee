"""Run lease services with thousands of instances: registrations, heartbeats, sweeps and events.

`python program_lease_keeper.py DSN COUNT`. At SIGUSR1, a tenth of the instances die.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from uuid import UUID

from robyn_server.core.errors import Unavailable
from robyn_server.core.registry.instances import Heartbeat, HeartbeatResult, Outcome, RegistrationRequest
from robyn_server.registry.leases.heartbeats import HeartbeatBatcher
from robyn_server.registry.leases.lease_services import LeaseServices, open_keeper_pool
from robyn_server.registry.leases.sweeper import Retention
from robyn_server.storage.postgres.pools import Role, open_pool
from robyn_server.storage.registry.instances.instances import Instances

TENANT = UUID(int=1)
AGENT = "fleet-agent"
_BATCHES_PER_ROUND = 100
_REGISTER_BATCH = 500


async def _register(instances: Instances, keeper: HeartbeatBatcher, number: int) -> Heartbeat:
    asked = RegistrationRequest(agent_id=AGENT, instance_id=f"i{number}")
    made = await instances.register(TENANT, asked, registered_by="fleet", keeper_id=keeper.keeper_id)
    return Heartbeat(TENANT, made.registration_id, made.epoch)


async def _register_all(instances: Instances, keeper: HeartbeatBatcher, count: int) -> list[Heartbeat]:
    """Register all instances. Those that are registered send heartbeats meanwhile."""
    live_instances: list[Heartbeat] = []
    for first in range(0, count, _REGISTER_BATCH):
        numbers = range(first, min(first + _REGISTER_BATCH, count))
        live_instances += await asyncio.gather(*(_register(instances, keeper, number) for number in numbers))
        await asyncio.gather(*map(keeper.submit, live_instances))
    return live_instances


async def _run_round(keeper: HeartbeatBatcher, live_instances: list[Heartbeat], interval: float) -> float:
    """Send one heartbeat for each instance within the interval. Returns the next interval."""
    for number in range(_BATCHES_PER_ROUND):
        asked = (keeper.submit(each) for each in live_instances[number::_BATCHES_PER_ROUND])
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            interval = _next_interval(answer, interval)
        await asyncio.sleep(interval / _BATCHES_PER_ROUND)
    return interval


def _next_interval(answer: HeartbeatResult | BaseException, interval: float) -> float:
    if isinstance(answer, Unavailable):
        return interval
    if isinstance(answer, BaseException):
        raise answer
    if answer.outcome is not Outcome.OK:
        _print(f"refused: {answer.outcome}")
    return answer.heartbeat_interval_seconds


def _print(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def main(dsn: str, count: int) -> None:
    app, system = [await open_pool(dsn, role, size=8, name="fleet") for role in (Role.APP, Role.SYSTEM)]
    lease_services = LeaseServices(system, await open_keeper_pool(dsn, "fleet"), "fleet", Retention())
    lease_services.start()
    live_instances = await _register_all(Instances(app), lease_services.heartbeats, count)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, live_instances.__delitem__, slice(count // 10))
    _print("ready")
    interval = 5.0
    while True:
        interval = await _run_round(lease_services.heartbeats, live_instances, interval)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
