"""Distribute the tests over pytest-xdist workers, which share one PostgreSQL. Without `-n` the hooks do nothing.

Rules:

1. The controller owns the PostgreSQL and the template database and tells the workers where they are. So a worker that
   crashes or finishes early does not stop what the others use.
2. The tests of a file run in order in one worker, because they share servers. So do all tests of RECOVERY, whose
   leases are short: two outages at once would slow each other down. So do all tests of CONSOLE: one browser at a time
   uses more than a core.
3. The slowest files start first, so that at the end no worker is left alone with one.
4. There are three workers more than cores, because tests mostly wait for other processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

import pytest
from databases import make_template, postgres_server
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

RECOVERY, CONSOLE = "tests/recovery/", "tests/console/"
SLOW_FILES = (
    RECOVERY,
    CONSOLE,
    "tests/storage/postgres/test_search_costs",
    "tests/backup/",
    "tests/supervisor/",
    "tests/registry/leases/",
    "tests/agent_sync/live/",
    "tests/worker/",
    "tests/web/robyn/test_lifecycle.py",
    "tests/cli/",
    "tests/test_main_job",
    "tests/app/",
    "tests/tools_agent/mcp/",
    "tests/contract/catalogue/test_catalogue",
)
"""Path prefixes of the slowest files."""

_EXIT_STACK = pytest.StashKey[contextlib.ExitStack]()
_WORKER_INPUT = pytest.StashKey[dict[str, str]]()


def worker_input(config: pytest.Config, name: str) -> str | None:
    """A value that the controller gave to this worker; None without pytest-xdist."""
    return getattr(config, "workerinput", {}).get(name)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return len(os.sched_getaffinity(0)) + 3


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    config = node.config
    if _WORKER_INPUT not in config.stash:
        exit_stack = config.stash[_EXIT_STACK] = contextlib.ExitStack()
        url = exit_stack.enter_context(postgres_server())
        config.stash[_WORKER_INPUT] = {"postgres": url, "template": asyncio.run(make_template(url))}
    node.workerinput.update(config.stash[_WORKER_INPUT])


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    def _split_scope(self, nodeid: str) -> str:
        together = (folder for folder in (RECOVERY, CONSOLE) if nodeid.startswith(folder))
        return next(together, nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling:
    return FileScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if worker_input(config, "postgres"):
        items.sort(key=_priority)


def _priority(item: pytest.Item) -> int:
    return next((index for index, start in enumerate(SLOW_FILES) if item.nodeid.startswith(start)), len(SLOW_FILES))


def pytest_unconfigure(config: pytest.Config) -> None:
    if _EXIT_STACK in config.stash:
        config.stash[_EXIT_STACK].close()
