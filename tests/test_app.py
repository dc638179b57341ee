"""The composition roots: every body can be had from the package, and a process pays for its own alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from robyn_server import app


@pytest.mark.parametrize("name", app.__all__)
def test_every_name_of_the_package_is_there(name: str) -> None:
    assert callable(getattr(app, name))


def test_a_name_that_it_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'run_nothing'"):
        _ = app.run_nothing


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("web", {"robyn_server.app.sockets", "robyn_server.app.worker", "robyn_server.sockets", "websockets"}),
        ("worker", {"robyn_server.app.web", "robyn_server.app.sockets", "robyn_server.services", "robyn_server.web"}),
        (
            "sockets",
            {"robyn_server.app.web", "robyn_server.app.worker", "robyn_server.web", "robyn_server.runtime.worker"},
        ),
        ("migrate", {"robyn_server.agent_sync", "robyn_server.registry", "robyn_server.services"}),
    ],
)
def test_a_process_imports_its_own_body_and_no_other(name: str, others: set[str]) -> None:
    code = f"import sys, robyn_server.app as app; app.run_{name}; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert set(said.stdout.split()) & (others | {"langgraph", "langchain_core", "psycopg", "mcp", "robyn"}) == set()
