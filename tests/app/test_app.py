"""The composition roots: each command has a module, and a process imports only its own modules."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from deadlines import DEADLINE
from servers.live_server import OURS


@pytest.mark.parametrize(
    "name",
    ["preflight", "sockets", "web", "worker", "operator.keys", "operator.migrate", "operator.sweep", "operator.sync"],
)
def test_every_command_has_a_module_with_its_function(name: str) -> None:
    assert callable(getattr(import_module(f"robyn_server.app.{name}"), f"run_{name.rpartition('.')[2]}"))


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("web", {"robyn_server.app.sockets", "robyn_server.app.worker", "robyn_server.sockets", "websockets"}),
        ("worker", {"robyn_server.app.web", "robyn_server.app.sockets", "robyn_server.services", "robyn_server.web"}),
        (
            "sockets",
            {"robyn_server.app.web", "robyn_server.app.worker", "robyn_server.web", "robyn_server.worker.worker"},
        ),
        ("operator.migrate", {"robyn_server.agent_sync", "robyn_server.registry", "robyn_server.services"}),
    ],
)
def test_a_process_imports_its_own_body_and_no_other(name: str, others: set[str]) -> None:
    code = f"import sys, robyn_server.app.{name}; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=DEADLINE)
    assert set(said.stdout.split()) & (others | {"langgraph", "langchain_core", "psycopg", "mcp", "robyn"}) == set()


@pytest.mark.parametrize(
    ("command", "needed"),
    [("check", {"structlog.stdlib"}), ("web", {"structlog.stdlib", "httpx._client", "robyn_server.web.robyn.server"})],
)
def test_a_server_imports_no_rich_for_its_logs_and_http_clients(command: str, needed: set[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    said = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "robyn_server", command],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
        env=environment,
    )
    imported = {line.rpartition("|")[2].strip() for line in said.stderr.splitlines()}
    assert imported >= needed, said.stderr[-2000:]
    assert not [name for name in imported if name.startswith(("rich.", "pygments.", "click."))]


_LOGS_WITH_RICH = """
import io, sys, structlog
text = io.StringIO()
try:
    1 / 0
except ZeroDivisionError:
    structlog.dev.rich_traceback(text, sys.exc_info())
graph = text.getvalue()
"""


def test_a_project_logs_with_tracebacks_of_rich(tmp_path: Path) -> None:
    """A server hides rich from structlog until it imports a project."""
    (tmp_path / "graphs.py").write_text(_LOGS_WITH_RICH)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    code = (
        "from robyn_server.cli.process import run_process; run_process('preflight');"
        "from robyn_server.graphs.loading.imports import import_object;"
        "print(import_object('graphs.py:graph', 'graphs'))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
        env=environment | {"PYTHONUTF8": "1", "DATABASE_URL": "postgresql://127.0.0.1:1/none"},
        cwd=tmp_path,
    )
    assert "ZeroDivisionError" in said.stdout and "╭─" in said.stdout
