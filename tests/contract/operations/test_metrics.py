"""/metrics of two webs and a worker under one supervisor, as `agenthall serve` starts them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import orjson
import psutil  # type: ignore[import-untyped]
import pytest
from catalogues.catalogue_writer import TABLES, CatalogueWriter
from databases import fresh_database
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from servers.live_server import DEADLINE, GRAPHS, LiveServer, Process, free_port, until
from users.demo_users import SECRET, bearer

from robyn_server.core.ids import default_assistant_id
from robyn_server.metrics import every_metric
from robyn_server.web.routes import all_routes

ECHO = str(default_assistant_id("echo"))
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
Key = tuple[str, frozenset[tuple[str, str]]]
"""A sample's name and labels."""


def at(name: str, **labels: str) -> Key:
    return f"agenthall_{name}", frozenset(labels.items())


class Supervised:
    """A `serve` with two webs and a worker; each request opens a connection, so that any web may answer it."""

    def __init__(self, url: str, port: int, process: subprocess.Popen[str]) -> None:
        self.database = url
        self.url = f"http://127.0.0.1:{port}"
        self.process = process
        assert process.stdout is not None
        greeting = orjson.loads(process.stdout.readline())
        named = [each.split() for each in greeting["processes"].split(", ")]
        self.pids = {name: int(pid) for name, pid in named}

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=DEADLINE) as client:
            return await client.request(method, path, headers=bearer("anna") if headers is None else headers, **more)

    async def scrape(self) -> str:
        """Wait for an answer, also while a web process restarts."""

        async def answered() -> str | None:
            with contextlib.suppress(httpx.TransportError):
                answer = await self.ask("GET", "/metrics", bearer("root", permissions=("metrics",)))
                assert answer.status_code in {200, 503}, answer.text
                return answer.text if answer.status_code == 200 else None
            return None

        return str(await until(answered))

    async def numbers(self) -> dict[Key, float]:
        families = text_string_to_metric_families(await self.scrape())
        return {(one.name, frozenset(one.labels.items())): one.value for each in families for one in each.samples}

    async def reaches(self, key: Key, value: float) -> None:
        async def does() -> bool:
            return (await self.numbers()).get(key) == value

        await until(does)

    def folder(self) -> Path:
        return Path(psutil.Process(self.pids["worker"]).environ()["PROMETHEUS_MULTIPROC_DIR"])


@pytest.fixture(scope="module")
async def supervised(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Supervised]:
    async with fresh_database(postgres, template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        await connection.close()
        with _serving(url, tmp_path_factory.mktemp("serve")) as running:
            folder = running.folder()
            assert folder.stat().st_mode & 0o777 == 0o700
            yield running
        assert not folder.exists(), "it goes with the supervisor"


@contextlib.contextmanager
def _serving(url: str, folder: Path) -> Iterator[Supervised]:
    port = free_port()
    ours = ("AGENTHALL_", "AGENT_SYNC_", "AUTH_", "DATABASE_", "CATALOGUE_", "LANGSMITH_", "PROMETHEUS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "DATABASE_URL": url,
        "AGENTHALL_WEB_PROCESSES": "2",
        "AGENTHALL_METRICS_PORT": "1",  # not for children of a supervisor
        "AGENTHALL_GRAPHS": orjson.dumps(GRAPHS).decode(),
        "AGENT_SYNC_SCOPE": "all",
        "AGENT_SYNC_EVERY": "3600",
        "AUTH_MODE": "jwt",
        "AUTH_JWT_SECRET": SECRET,
    }
    command = [sys.executable, "-m", "robyn_server", "serve", "--port", str(port), "--log-format", "json"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--data-dir", str(folder)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield Supervised(url, port, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE)


async def test_requests_add_up_over_the_webs_whoever_answers(supervised: Supervised) -> None:
    counted = at("http_requests_total", method="GET", route="/assistants/{assistant_id}", status="200")
    before = (await supervised.numbers()).get(counted, 0)
    for _ in range(24):
        assert (await supervised.ask("GET", f"/assistants/{ECHO}")).status_code == 200
    for _ in range(6):
        numbers = await supervised.numbers()
        assert numbers[counted] == before + 24
        timed = at("http_request_duration_seconds_count", method="GET", route="/assistants/{assistant_id}")
        assert numbers[timed] >= before + 24


async def test_processes_slots_and_connections_are_of_the_whole_server(supervised: Supervised) -> None:
    await supervised.reaches(at("processes", process="web"), 2)
    await supervised.reaches(at("worker_slots"), 16)
    await supervised.reaches(at("agent_sync_feed_connected"), 1)
    numbers = await supervised.numbers()
    assert numbers[at("processes", process="worker")] == 1
    assert numbers[at("database_up")] == 1
    assert numbers[at("database_connections", pool="system")] >= 3
    assert numbers[at("http_requests_in_flight")] >= 1, "the scrape itself"
    assert [labels for name, labels in numbers if name == "agenthall_info"] == [frozenset({("version", _version())})]


def _openmetrics(text: str) -> list[Any]:
    return list(openmetrics_families(text))  # type: ignore[no-untyped-call]


def _version() -> str:
    from robyn_server import __version__

    return __version__


async def test_runs_are_counted_where_they_end(supervised: Supervised) -> None:
    before = await supervised.numbers()
    for graph in ("echo", "failing"):
        await supervised.ask("POST", "/runs/wait", json={"assistant_id": graph, "input": {"text": 1}})
    ended = at("runs_finished_total", status="success"), at("runs_finished_total", status="error")

    async def counted() -> bool:
        after = await supervised.numbers()
        return all(after[key] == before[key] + 1 for key in ended)

    await until(counted)
    after = await supervised.numbers()
    for name in ("run_wait_seconds_count", "run_duration_seconds_count"):
        assert after[at(name)] == before[at(name)] + 2
    assert after[at("run_wait_seconds_sum")] >= before[at("run_wait_seconds_sum")]
    assert after[at("run_repeats_total")] == 0


async def test_agents_are_counted_by_what_became_of_them(supervised: Supervised) -> None:
    before = await supervised.numbers()
    assert before[at("agent_sync_passes_total", result="succeeded")] == 2, "one of each web"
    assert before[at("agent_sync_last_pass_timestamp_seconds")] > 1.7e9
    connection = await asyncpg.connect(supervised.database)
    agent_id = await CatalogueWriter(connection).add_agent()
    await connection.execute("select pg_notify('agenthall_catalogue', $1)", agent_id)
    await connection.close()
    await supervised.reaches(at("agent_sync_feed_lag_seconds_count"), 2)
    after = await supervised.numbers()
    made = at("agent_sync_agents_total", trigger="feed", action="created")
    assert after[made] == 1, "the second web found the work done"
    await _reference(supervised, agent_id, "hit")
    await _reference(supervised, str(uuid4()), "miss")


async def _reference(supervised: Supervised, agent_id: str, outcome: str) -> None:
    key = at("agent_sync_lazy_total", outcome=outcome)
    before = (await supervised.numbers())[key]
    await supervised.ask("GET", f"/assistants/{agent_id}", bearer("root", permissions=("admin",)))
    assert (await supervised.numbers())[key] == before + 1


async def test_who_may_read(supervised: Supervised) -> None:
    for query in ("", "?format=json"):
        path = f"/metrics{query}"
        assert (await supervised.ask("GET", path, {})).status_code == 401
        assert (await supervised.ask("GET", path, bearer("anna"))).status_code == 403
        assert (await supervised.ask("GET", path, bearer("anna", permissions=("metrics",)))).status_code == 200
        assert (await supervised.ask("GET", path, bearer("root", permissions=("admin",)))).status_code == 200


async def test_json_has_the_reference_servers_shape(supervised: Supervised) -> None:
    await supervised.ask("GET", "/info")
    answer = await supervised.ask("GET", "/metrics?format=json", bearer("root", permissions=("admin",)))
    told = answer.json()
    assert list(told) == ["queue", "api", "workers"]
    assert told["queue"] == {
        "n_pending": 0,
        "pending_runs_wait_time_max_secs": None,
        "pending_runs_wait_time_med_secs": None,
        "pending_unblocked_runs_wait_time_max_secs": None,
        "n_running": 0,
    }
    lines = told["api"]["http_requests_total"]
    assert all(list(line) == ["method", "path", "status", "count"] for line in lines)
    assert any((line["method"], line["path"], line["status"]) == ("GET", "/info", 200) for line in lines)
    await supervised.reaches(at("worker_slots_busy"), 0)
    assert set(told["workers"]) == {"max", "active", "available"}
    assert told["workers"]["max"] == told["workers"]["active"] + told["workers"]["available"] == 16


async def test_another_format_is_refused_by_name(supervised: Supervised) -> None:
    answer = await supervised.ask("GET", "/metrics?format=xml", bearer("root", permissions=("admin",)))
    assert (answer.status_code, answer.json()["field"]) == (422, "format")


async def test_the_format_is_chosen_by_accept(supervised: Supervised) -> None:
    headers = bearer("root", permissions=("metrics",))
    plain = await supervised.ask("GET", "/metrics", headers)
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    modern = await supervised.ask("GET", "/metrics", headers | accept)
    assert modern.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {family.name for family in _openmetrics(modern.text)} <= {each.name for each in every_metric()}


async def test_labels_hold_no_ids_no_paths_and_no_names(supervised: Supervised) -> None:
    await supervised.ask("GET", f"/threads/{uuid4()}", bearer("zoe", str(uuid4())))
    await supervised.ask("GET", "/nowhere/zoe")
    await supervised.ask("DELETE", "/metrics")
    numbers = await supervised.numbers()
    words = {word for _, labels in numbers for _, word in labels}
    assert not [word for word in words if _UUID.search(word) or "zoe" in word or "anna" in word]
    routes = {dict(labels)["route"] for _, labels in numbers if "route" in dict(labels)}
    documents = {"/openapi.json", "/docs", "/docs/{file}", "/console", "/console/{path}"}
    system = {"/", "/ok", "/livez", "/info", "none"} | documents
    assert routes <= {route.path for route in all_routes()} | system


async def test_a_killed_web_takes_its_gauges_with_it_and_leaves_its_counts(supervised: Supervised) -> None:
    folder, before = supervised.folder(), await supervised.numbers()
    live, counts = folder / "gauge_livesum_web-1.db", folder / "counter_web-1.db"
    old = counts.stat().st_ino, len(list(folder.iterdir()))

    with live.open("rb") as killed:  # as long as it is open, the file system gives its inode to no other file

        def is_new() -> bool:
            with contextlib.suppress(FileNotFoundError):
                return not os.path.samestat(live.stat(), os.fstat(killed.fileno()))
            return False

        os.kill(supervised.pids["web-1"], signal.SIGKILL)
        await until(is_new)
    await supervised.reaches(at("processes", process="web"), 2)
    after = await supervised.numbers()
    await until(lambda: (counts.stat().st_ino, len(list(folder.iterdir()))) == old)
    started = at("process_start_time_seconds", process="web")
    assert after[started] > before[started]
    fallen = [key for key in before if key[0].endswith(("_total", "_count", "_bucket")) and after[key] < before[key]]
    assert not fallen


async def test_a_worker_alone_answers_scrapes_on_a_port_of_its_own(server: LiveServer, tmp_path: Path) -> None:
    port = free_port()
    worker = Process("worker", server.environment | {"AGENTHALL_METRICS_PORT": str(port)}, tmp_path / "log")
    try:
        async with httpx.AsyncClient() as client:

            async def slots() -> bool:
                assert worker.popen.poll() is None, worker.read_log()
                with contextlib.suppress(httpx.TransportError):
                    text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
                    return "agenthall_worker_slots 16.0" in text and 'agenthall_processes{process="worker"} 1.0' in text
                return False

            await until(slots)
    finally:
        worker.kill(signal.SIGTERM)
        await worker.ended()


async def test_a_port_that_is_taken_stops_a_worker_with_the_settings_name(server: LiveServer, tmp_path: Path) -> None:
    worker = Process("worker", server.environment | {"AGENTHALL_METRICS_PORT": str(server.port)}, tmp_path / "log")
    assert await worker.ended() == 2
    await until(lambda: str(server.port) in worker.read_log())
