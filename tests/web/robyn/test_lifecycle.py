"""From the first request to the exit code."""

from __future__ import annotations

import asyncio
import signal

import httpx
import pytest
from deadlines import DEADLINE
from servers.web_process import WebProcess, start_web_process, until, web_process

pytestmark = pytest.mark.server


async def test_an_idle_server_stops_on_sigterm_with_exit_code_0() -> None:
    for number in [signal.SIGTERM, signal.SIGINT] * 3:
        async with web_process() as served:
            await served.ready()
            served.signal(number)
            assert await served.wait_for_exit() == 0
            assert "application stopped" in served.lines


@pytest.mark.parametrize("attempt", range(6))
async def test_a_drain_answers_what_is_in_flight_and_ends_streams(attempt: int) -> None:
    async with web_process() as served:
        await served.ready()
        streams = [await served.open_stream("/idle?resumable=1") for _ in range(3 + attempt)]
        for stream in streams:
            await stream.read_until(b"event: first")
        async with httpx.AsyncClient(base_url=served.url, timeout=DEADLINE) as client:
            slow = asyncio.create_task(client.get("/slow"))
            wait = asyncio.create_task(client.post("/wait?seconds=0.8"))
            await until(lambda: _slow_started(served))
            await until(lambda: _posted(served))
            served.signal()
            assert (await slow).json() == {"slow": "done"}
            assert (await wait).json() == {"waited": True}
        for stream in streams:
            assert (await stream.rest()).endswith(b"0\r\n\r\n")  # the last chunk: a whole body, not a cut one
        assert await served.wait_for_exit() == 0
        assert "application stopped" in served.lines


async def _slow_started(served: WebProcess) -> bool:
    return bool((await served.state())["slow_started"])


async def test_while_draining_new_requests_are_503_and_liveness_stays() -> None:
    async with web_process() as served:
        await served.ready()
        async with httpx.AsyncClient(base_url=served.url, timeout=DEADLINE) as client:
            waiting = asyncio.create_task(client.post("/wait?seconds=2"))
            await until(lambda: _posted(served))
            served.signal()
            await until(lambda: served.find_log("web.draining"))
            refused = await client.get("/ok")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert (await client.get("/livez")).status_code == 200
            assert (await waiting).json() == {"waited": True}
        assert await served.wait_for_exit() == 0


async def _posted(served: WebProcess) -> bool:
    return any('"path":"/wait"' in line for line in served.lines)


async def test_what_outlasts_the_grace_is_cut() -> None:
    async with web_process(AGENTHALL_DRAIN_SECONDS="0.3") as served:
        await served.ready()
        stream = await served.open_stream("/idle")
        await stream.read_until(b"event: first")
        served.signal()
        assert not (await stream.rest()).endswith(b"0\r\n\r\n")  # a body that is not whole must not look so
        assert await served.wait_for_exit() == 0
        assert served.find_log("web.drain_cut")["streams"] == 1


async def test_a_second_signal_exits_at_once() -> None:
    async with web_process(AGENTHALL_DRAIN_SECONDS="60") as served:
        await served.ready()
        stream = await served.open_stream("/idle")
        await stream.read_until(b"event: first")
        served.signal(signal.SIGINT)
        await until(lambda: served.find_log("web.draining"))
        served.signal(signal.SIGINT)
        assert await served.wait_for_exit() == 130


async def test_while_the_application_starts_liveness_is_200_and_the_rest_503() -> None:
    async with web_process(SAMPLE_START="never") as served:
        await served.listening()
        async with httpx.AsyncClient(base_url=served.url, timeout=DEADLINE) as client:
            assert (await client.get("/livez")).status_code == 200
            assert (await client.get("/ok")).json() == {"ok": False, "services": {"web": "starting"}}
            refused = await client.get("/hello")
            assert (refused.status_code, refused.json()["code"]) == (503, "starting")
        served.signal()
        assert await served.wait_for_exit() == 0


async def test_a_misconfigured_start_is_one_line_and_exit_code_2() -> None:
    served = await start_web_process(SAMPLE_START="misconfigured")
    assert await served.wait_for_exit() == 2
    entry = served.find_log("web.misconfigured")
    assert (entry["problem"], entry["setting"]) == ("DATABASE_URL is not set", "DATABASE_URL")
    assert "exception" not in entry


async def test_a_start_that_fails_is_logged_and_exit_code_3() -> None:
    served = await start_web_process(SAMPLE_START="broken")
    assert await served.wait_for_exit() == 3
    assert "no such luck" in served.find_log("web.start_failed")["exception"]


async def test_a_signal_at_any_moment_of_the_start_ends_the_process() -> None:
    for step in range(8):
        async with web_process() as served:
            await until(lambda: _has_begun(served))
            await asyncio.sleep(step * 0.012)  # not a wait for something: the moments of a start, one after the other
            served.signal()
            assert await served.wait_for_exit() in {0, -signal.SIGTERM}


def _has_begun(served: WebProcess) -> bool:
    """Whether the process sleeps or runs in our code: its threads are more than the one that it was born with."""
    with open(f"/proc/{served.process.pid}/status") as status:  # noqa: PTH123 - procfs
        return any(line.startswith("Threads:") and int(line.split()[1]) > 1 for line in status)
