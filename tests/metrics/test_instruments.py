"""Definitions and their vocabularies, and the folder in which processes count together."""

from __future__ import annotations

import ast
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from deadlines import DEADLINE
from prometheus_client.parser import text_string_to_metric_families

import robyn_server
from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.access.scopes import Scope
from robyn_server.core.errors import Forbidden, Unavailable
from robyn_server.metrics import LabelValues, Reading, definitions, every_metric, refresh
from robyn_server.metrics.definitions import CONNECTIONS, HTTP_REQUESTS, LIVING
from robyn_server.metrics.exposition import samples
from robyn_server.metrics.instruments import Metric
from robyn_server.services.monitoring.metrics import MetricsService
from robyn_server.storage.runs.queue import QueueState
from robyn_server.supervisor.metrics_dir import MetricsDirectory
from robyn_server.web.edge.edge import _count

LIVE = """
from robyn_server.metrics import announce
from robyn_server.metrics.definitions import RUNS_FINISHED, SYNC_LAST
announce("worker")
RUNS_FINISHED.inc("success", by=3)
SYNC_LAST.set(1000)
"""
LOOK = """
from robyn_server.metrics.definitions import LIVING, RUNS_FINISHED, SYNC_LAST
from robyn_server.metrics.exposition import samples
print(samples(LIVING).get(("worker",)), samples(RUNS_FINISHED)[("success",)], samples(SYNC_LAST)[()])
"""


VALUES = {"inc": 0, "set": 1, "set_function": 1, "observe": 1}
"""Methods that record a value, and how many arguments stand before the labels."""


class FixedQueue:
    """A queue in a known state; None: its database is away."""

    def __init__(self, state: QueueState | None) -> None:
        self._state = state

    async def state(self) -> QueueState:
        if self._state is None:
            raise Unavailable("away")
        return self._state


def run(program: str, environment: dict[str, str], code: int = 0) -> str:
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, check=False, env=os.environ | environment, capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode == code, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Use:
    """A call in the source that records a value: `labels` are the expressions of the labels' values."""

    where: str
    metric: Metric
    labels: list[ast.expr]


def uses() -> Iterator[Use]:
    root = Path(robyn_server.__file__).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            name, method = getattr(node.func.value, "id", ""), node.func.attr
            if method in VALUES and isinstance(metric := getattr(definitions, name, None), Metric):
                yield Use(f"{path.relative_to(root)}:{node.lineno}", metric, node.args[VALUES[method] :])


def test_every_use_of_a_metric_gives_its_labels_values_of_their_vocabularies() -> None:
    found = list(uses())
    assert {use.metric for use in found} == {one for one in every_metric() if not isinstance(one, Reading)}
    for use in found:
        assert len(use.labels) == len(use.metric.labels), use.where
        for expression, allowed in zip(use.labels, use.metric.labels.values(), strict=True):
            for word in words_of(expression):
                assert word in allowed, f"{use.where}: {word}"


def words_of(expression: ast.expr) -> Iterator[str]:
    """Literals that the expression evaluates to."""
    if isinstance(expression, ast.IfExp):
        yield from (*words_of(expression.body), *words_of(expression.orelse))
    elif isinstance(expression, ast.Constant):
        yield expression.value


def test_two_metrics_cannot_have_one_name() -> None:
    names = [metric.name for metric in every_metric()]
    assert len(names) == len(set(names))


def test_every_metric_says_what_it_means_and_every_label_has_words() -> None:
    for metric in every_metric():
        assert metric.meaning.endswith("."), metric.name
        assert all(len(words) for words in metric.labels.values()), metric.name
        assert metric.kind in {"counter", "gauge", "histogram"}


def test_a_vocabulary_grows_by_words_of_ours_only() -> None:
    words = LabelValues([1, 2])
    words.add(["3"])
    assert (list(words), "4" in words) == (["1", "2", "3"], False)


def test_a_method_that_somebody_made_up_is_counted_as_other() -> None:
    before = samples(HTTP_REQUESTS).get(("other", "none", "404"), 0)
    _count("BREW", "none", 404, 0.001)
    assert samples(HTTP_REQUESTS)["other", "none", "404"] == before + 1


async def test_a_gauge_shows_what_it_follows_as_of_the_last_refresh() -> None:
    seen = [3]
    CONNECTIONS.set_function(lambda: seen[-1], "app")
    await refresh()
    seen.append(4)
    assert samples(CONNECTIONS)[("app",)] == 3
    await refresh()
    assert samples(CONNECTIONS)[("app",)] == 4


@pytest.mark.server
def test_counts_of_processes_add_up_and_outlive_them_while_their_gauges_go() -> None:
    with MetricsDirectory() as folder:
        for name in ("worker-1", "worker-2"):
            run(LIVE, folder.environment(name))
        assert run(LOOK, folder.environment("web")) == "2.0 6.0 1000.0"
        folder.remove_gauges("worker-1")
        assert run(LOOK, folder.environment("web")) == "1.0 6.0 1000.0"
        files = sorted(file.name for file in folder.path.iterdir())
        run(LIVE, folder.environment("worker-2"))
        assert run(LOOK, folder.environment("web")) == "1.0 9.0 1000.0"
        assert sorted(file.name for file in folder.path.iterdir()) == files, "a restart goes on in the same files"
        path = folder.path
    assert not path.exists()


@pytest.mark.server
def test_what_a_killed_supervisor_left_behind_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = """
import os
from robyn_server.supervisor.metrics_dir import MetricsDirectory
os.write(1, str(MetricsDirectory().__enter__().path).encode())
os._exit(1)
"""
    left = Path(run(code, {"TMPDIR": str(tmp_path)}, code=1))
    assert left.parent == tmp_path and left.exists()
    with MetricsDirectory() as living:
        assert not left.exists()
        with MetricsDirectory():
            assert living.path.exists(), "that of a living supervisor stays"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.server
def test_a_file_that_is_just_being_made_is_not_in_the_way() -> None:
    with MetricsDirectory() as folder:
        run(LIVE, folder.environment("worker"))
        (folder.path / "counter_web.db").touch()
        assert run(LOOK, folder.environment("web-2")) == "1.0 3.0 1000.0"


@pytest.mark.server
def test_neither_the_supervisor_nor_the_command_line_imports_prometheus() -> None:
    code = """
import sys
import robyn_server.supervisor.serve, robyn_server.cli.commands
print([name for name in sys.modules if name.startswith(("prometheus_client", "robyn_server.metrics"))])
import robyn_server.app, robyn_server.web.robyn.server
print([name for name in sys.modules if name.startswith("prometheus_client")])
"""
    assert run(code, {"PYTHONPATH": str(Path(__file__).parents[2])}).split() == ["[]", "[]"]


async def test_a_database_that_is_away_is_a_metric_and_an_error_of_the_json() -> None:
    service = MetricsService(FixedQueue(None))
    text = (await service.text(LOCAL, "")).body.decode()
    names = {family.name: family for family in text_string_to_metric_families(text)}
    assert names["agenthall_database_up"].samples[0].value == 0
    assert "agenthall_runs_pending" not in names
    with pytest.raises(Unavailable):
        await service.summary(LOCAL)


async def test_a_queue_that_does_not_answer_counts_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(FixedQueue):
        async def state(self) -> QueueState:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr("robyn_server.services.monitoring.metrics._QUERY_TIMEOUT", 0.01)
    assert b"agenthall_database_up 0.0" in (await MetricsService(Silent(None)).text(LOCAL, "")).body


async def test_who_is_no_administrator_needs_the_scope() -> None:
    service = MetricsService(FixedQueue(QueueState(2, 1, 3.0, 2.0, 1.0)))
    with pytest.raises(Forbidden):
        await service.text(Principal("anna"), "")
    with pytest.raises(Forbidden):
        await service.summary(Principal("anna", permissions=frozenset({"read"})))
    summary = await service.summary(Principal("prometheus", permissions=frozenset({Scope.METRICS})))
    assert summary["queue"] == {
        "n_pending": 2,
        "pending_runs_wait_time_max_secs": 3.0,
        "pending_runs_wait_time_med_secs": 2.0,
        "pending_unblocked_runs_wait_time_max_secs": 1.0,
        "n_running": 1,
    }


def test_a_process_alone_is_the_sum_of_itself() -> None:
    LIVING.set(1, "sockets")
    assert samples(LIVING)[("sockets",)] == 1
