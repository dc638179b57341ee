"""Tests of single modules of the TypeScript client, run by Node's own test runner."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from node import TYPESCRIPT_CLIENT, environment

pytestmark = pytest.mark.server  # a process; the client is compiled first
UNIT = Path(__file__).with_name("unit")


@pytest.mark.parametrize("name", sorted(each.name for each in UNIT.glob("*.test.mjs")))
def test_the_tests_of_node_pass(node: str, name: str) -> None:
    done = subprocess.run(
        [node, "--test", name], cwd=UNIT, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def test_the_sources_are_formatted(node: str) -> None:
    done = subprocess.run(
        [node, "node_modules/prettier/bin/prettier.cjs", "--check", ".", str(UNIT), str(UNIT.parent)],
        cwd=TYPESCRIPT_CLIENT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
