"""How the workers of pytest-xdist share the tests and one PostgreSQL (`pytest -n auto`; without `-n` nothing of this happens).

Rules:

1. The controlling process owns the PostgreSQL and the template, and tells the workers where they are: a worker that crashes
   takes neither with it, and one that finishes early does not stop what the others use.
2. The tests of a file stay together, in their order, in one worker: they share servers. So does the whole of RECOVERY: its
   leases are short, and two outages at once would only take each other's time.
3. Files that wait long for little come first, so that at the end no worker is left alone with one.
4. One worker more than there are cores: a good part of the time is spent in waiting for other processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

import pytest
from databases import make_template, postgres_server
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

RECOVERY = "tests/recovery/"
FIRST = (
    RECOVERY,
    "tests/runtime/",
    "tests/web/test_lifecycle.py",
    "tests/test_",
    "tests/tools_agent/test_mcp",
    "tests/contract/test_catalogue",
)
"""How the paths of the slowest files begin."""

_CLOSING = pytest.StashKey[contextlib.ExitStack]()
_TOLD = pytest.StashKey[dict[str, str]]()


def told(config: pytest.Config, name: str) -> str | None:
    """What the controller told this worker; None in a process that runs its tests alone."""
    return getattr(config, "workerinput", {}).get(name)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    config = node.config
    if _TOLD not in config.stash:
        closing = config.stash[_CLOSING] = contextlib.ExitStack()
        url = closing.enter_context(postgres_server())
        config.stash[_TOLD] = {"postgres": url, "template": asyncio.run(make_template(url))}
    node.workerinput.update(config.stash[_TOLD])


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    def _split_scope(self, nodeid: str) -> str:
        return RECOVERY if nodeid.startswith(RECOVERY) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if told(config, "postgres"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    return next((turn for turn, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST))


def pytest_unconfigure(config: pytest.Config) -> None:
    if _CLOSING in config.stash:
        config.stash[_CLOSING].close()
