"""Without an endpoint nothing of OpenTelemetry is imported, by no process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from deadlines import DEADLINE

_QUIET = {
    name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LANGSMITH_", "LANGCHAIN_"))
}


def _modules(code: str, **variables: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
        env=_QUIET | variables,
    )
    return set(said.stdout.split())


@pytest.mark.parametrize("process", ["web", "worker", "sockets"])
def test_a_process_without_tracing_imports_nothing_of_it(process: str) -> None:
    load = f"import robyn_server.app.{process}\nfrom robyn_server.app.parts.tracing import start_tracing\n"
    start = f"assert start_tracing('{process}') is None"
    found = _modules(load + start + "\nimport robyn_server.web.edge.edge, robyn_server.services.runs.service")
    assert not [name for name in found if name.startswith("opentelemetry")]


def test_the_worker_imports_none_of_our_spans_without_tracing() -> None:
    """LangSmith's client tries to import the SDK by itself, so only our part is told apart here."""
    found = _modules("import robyn_server.worker.worker, robyn_server.graphs.execution, tools_agent.tools.mcp")
    ours = {name for name in found if name.startswith("robyn_server.tracing")}
    langsmith = {f"robyn_server.tracing.langsmith{name}" for name in ("", ".feedback", ".runs")}
    assert ours == {"robyn_server.tracing", *langsmith}
    assert not [name for name in found if name.startswith("opentelemetry.exporter")]


def test_with_an_endpoint_they_are_imported() -> None:
    code = "from robyn_server.app.parts.tracing import start_tracing; assert start_tracing('web') is not None"
    found = _modules(code, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert {"opentelemetry.sdk.trace", "robyn_server.tracing.http_spans"} <= found
    assert not [name for name in found if name.startswith(("langchain", "langgraph"))]
