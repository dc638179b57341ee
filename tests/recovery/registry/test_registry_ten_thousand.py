"""Ten thousand instances, leases as they are delivered, faults of a minute each: for AGENTHALL_TEST_LONG=1 only.

All the while the clock of the process that keeps them is an hour ahead, and that of a second sweeper an hour behind.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from databases import database_url, make_template
from registry_fleet import Observer
from servers.live_server import until
from test_registry_outages import _family, _stopped
from wrong_clock import make_wrong_clock

from robyn_server.supervisor.parent_death import death_signal
from robyn_server.supervisor.postgres.server import EmbeddedPostgres

COUNT = int(os.environ.get("AGENTHALL_TEST_INSTANCES", "10000"))
MINUTE = 60.0

pytestmark = [
    pytest.mark.skipif(not os.environ.get("AGENTHALL_TEST_LONG"), reason="takes ten minutes: AGENTHALL_TEST_LONG=1"),
    pytest.mark.timeout(1800),
]


@dataclass
class Crowd:
    postgres: EmbeddedPostgres
    keeper: subprocess.Popen[bytes]
    sweeper: subprocess.Popen[bytes]
    observer: Observer
    log: Path

    def check(self) -> None:
        assert self.keeper.poll() is None, self.log.read_text()[-3000:]
        assert self.sweeper.poll() is None
        assert "refused" not in self.log.read_text()


@pytest.fixture(autouse=True)
def check_invariants() -> None:
    """There is no server here."""


@pytest.fixture(scope="module")
async def crowd() -> AsyncIterator[Crowd]:
    folder = Path(tempfile.mkdtemp(prefix="agenthall-crowd-"))
    postgres = EmbeddedPostgres(folder / "pg", options={"fsync": "off"})
    started: list[subprocess.Popen[bytes]] = []
    try:
        url = database_url(postgres.start(), await make_template(postgres.dsn))
        clock = make_wrong_clock(folder)
        program = Path(__file__).parent / "program_lease_keeper.py"
        for name, off, command in (
            ("keeper", 3600, [str(program), url, str(COUNT)]),
            ("sweeper", -3600, ["-m", "robyn_server", "sweep"]),
        ):
            environment = os.environ | {"DATABASE_URL": url, "CLOCK_IS_OFF_BY": str(off)}
            environment |= {} if clock is None else {"LD_PRELOAD": str(clock)}
            with (folder / f"{name}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(
                        [sys.executable, *command],
                        env=environment,
                        stdout=log,
                        stderr=log,
                        preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509  nothing but a system call
                    )
                )
        log_file = folder / "keeper.log"
        await until(lambda: "ready" in log_file.read_text(), 300)
        found = Crowd(postgres, started[0], started[1], Observer(url, COUNT), log_file)
        await until(found.observer.all_active, 60)
        yield found
    finally:
        for each in started:
            each.kill()
            each.wait()
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("what", ["database", "sweeper", "keeper", "database and keeper"])
async def test_a_minute_of_standing_still_evicts_nobody_of_ten_thousand(crowd: Crowd, what: str) -> None:
    assert crowd.postgres.pid is not None
    database = _family(crowd.postgres.pid)
    pids = {
        "database": database,
        "sweeper": [crowd.sweeper.pid],
        "keeper": [crowd.keeper.pid],
        "database and keeper": [crowd.keeper.pid, *database],
    }[what]
    began = await crowd.observer.now()
    async with crowd.observer.polling():
        await _stopped(pids, MINUTE)
        await asyncio.sleep(45)  # the grace, and what comes after it
    crowd.check()
    assert await crowd.observer.all_active()
    assert (crowd.observer.lowest, await crowd.observer.evictions_since(began)) == (COUNT, [])


async def test_the_tenth_that_really_dies_goes_and_nobody_else(crowd: Crowd) -> None:
    crowd.keeper.send_signal(signal.SIGUSR1)
    crowd.observer.expected = COUNT - COUNT // 10
    await until(crowd.observer.all_active, 120)
    await asyncio.sleep(20)
    assert await crowd.observer.all_active()
    crowd.check()
