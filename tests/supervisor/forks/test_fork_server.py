"""Forks as the server starts them: their end is told, and they end with the process that has forked them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import psutil
import pytest
from deadlines import DEADLINE

from robyn_server.supervisor.forks.client import CAN_FORK, ForkedProcess, ForkServer

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not CAN_FORK, reason="processes are forked on Linux only"),
]


@pytest.fixture
async def forks() -> AsyncIterator[ForkServer]:
    server = ForkServer(["structlog"])
    yield server
    await server.stop()


def _environment(_parent: int) -> Mapping[str, str]:
    return os.environ


async def _sleeping(forks: ForkServer, folder: Path) -> ForkedProcess:
    """A fork that imports a module which never ends."""
    reached = folder / "reached"
    (folder / "sleeping.py").write_text(f"import time\nopen({str(reached)!r}, 'w').close()\ntime.sleep(600)\n")
    graphs = {"AGENTHALL_GRAPHS": f'{{"sleeping": "{folder / "sleeping.py"}:graph"}}'}
    process = await forks.fork(["doctor", "--port", "0"], lambda _parent: os.environ | graphs)
    async with asyncio.timeout(DEADLINE):
        while not reached.exists():
            await asyncio.sleep(0.01)
    return process


async def _end(process: ForkedProcess) -> int:
    async with asyncio.timeout(DEADLINE):
        return await process.wait()


async def test_the_exit_code_is_told(forks: ForkServer) -> None:
    succeeding = await forks.fork(["--version"], _environment)
    failing = await forks.fork(["--nonsense"], _environment)
    assert (await _end(succeeding), await _end(failing)) == (0, 2)
    assert (succeeding.returncode, failing.returncode) == (0, 2)


async def test_its_environment_may_name_its_parent(forks: ForkServer, tmp_path: Path) -> None:
    parents = list[int]()

    def environment(parent: int) -> Mapping[str, str]:
        parents.append(parent)
        return os.environ

    process = await forks.fork(["--version"], environment)
    assert process.pid not in parents
    await _end(process)
    sleeping = await _sleeping(forks, tmp_path)
    assert [psutil.Process(sleeping.pid).ppid()] == parents
    assert psutil.Process(parents[0]).ppid() == os.getpid()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_signal_is_the_exit_code(forks: ForkServer, tmp_path: Path, number: signal.Signals) -> None:
    process = await _sleeping(forks, tmp_path)
    process.send_signal(number)
    assert await _end(process) == -number


async def test_forks_end_with_the_fork_server_and_a_new_one_follows(forks: ForkServer, tmp_path: Path) -> None:
    process = await _sleeping(forks, tmp_path)
    psutil.Process(process.pid).parent().kill()
    assert await _end(process) == -signal.SIGKILL
    assert await _end(await forks.fork(["--version"], _environment)) == 0


async def test_a_stop_ends_the_forks(forks: ForkServer, tmp_path: Path) -> None:
    process = await _sleeping(forks, tmp_path)
    await forks.stop()
    assert await _end(process) == -signal.SIGKILL


async def test_a_fork_server_that_cannot_import_is_an_error() -> None:
    forks = ForkServer(["no_such_module"])
    with pytest.raises(OSError, match=r"fork server has ended|Broken pipe|reset"):
        await forks.fork(["--version"], _environment)
    await forks.stop()
