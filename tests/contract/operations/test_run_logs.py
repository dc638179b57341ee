"""The log of a server: one line for each run, with the user's frames when a graph fails, and no line of a probe."""

from __future__ import annotations

from typing import Any

import orjson
from langgraph_sdk.client import LangGraphClient
from servers.live_server import LiveServer, Process, until


def lines(process: Process, event: str) -> list[dict[str, Any]]:
    found = [orjson.loads(line) for line in process.read_log().splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event]


async def run_line(server: LiveServer, run_id: str) -> dict[str, Any]:
    """The only line of a run."""

    def found() -> list[dict[str, Any]]:
        return [line for worker in server.workers for line in lines(worker, "run") if line["run_id"] == run_id]

    await until(found)
    (line,) = found()
    return line


async def ended(client: LangGraphClient, graph: str, given: dict[str, Any]) -> tuple[str, str]:
    thread = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread, graph, input=given)
    await client.runs.join(thread, run["run_id"])
    return thread, run["run_id"]


async def test_a_run_is_one_line(server: LiveServer, client: LangGraphClient) -> None:
    thread, run_id = await ended(client, "echo", {"text": "hello"})
    line = await run_line(server, run_id)
    assert (line["agent"], line["status"], line["level"], line["thread_id"]) == ("echo", "success", "info", thread)
    assert 0 < line["seconds"] < 120
    assert line.keys() == {
        *("event", "agent", "status", "seconds", "thread_id", "run_id", "attempt"),
        *("level", "logger", "timestamp"),
    }


async def test_the_tools_of_a_run_are_counted(server: LiveServer, client: LangGraphClient) -> None:
    values = {"messages": [{"role": "user", "content": "hello"}]}
    _, run_id = await ended(client, "agent", values)
    assert "tools" not in await run_line(server, run_id)


async def test_a_graph_that_fails_is_one_warning_with_the_users_frames(
    server: LiveServer, client: LangGraphClient
) -> None:
    _, run_id = await ended(client, "failing", {"text": "hello"})
    line = await run_line(server, run_id)
    assert (line["status"], line["level"]) == ("error", "warning")
    frames = [row for row in line["exception"].splitlines() if row.startswith("  File")]
    assert len(frames) == 1
    assert "sample_graphs.py" in frames[0]
    assert line["error"].split(":")[0] in line["exception"].splitlines()[-1]


async def test_an_error_with_a_message_of_its_own_has_no_traceback(server: LiveServer, client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    config: Any = {"recursion_limit": 1}
    run = await client.runs.create(thread, "counter", input={"until": 3}, config=config)
    await client.runs.join(thread, run["run_id"])
    line = await run_line(server, run["run_id"])
    assert line["error"].startswith("GraphRecursionError")
    assert "exception" not in line


async def test_probes_leave_no_line(server: LiveServer) -> None:
    async with server.http() as http:
        for path in ("/livez", "/ok", "/metrics", "/info"):
            assert (await http.get(path)).status_code == 200
    web = server.webs[0]
    await until(lambda: any(line["path"] == "/info" for line in lines(web, "request")))
    assert not [line for line in lines(web, "request") if line["path"] in {"/livez", "/ok"} and line["status"] == 200]
