"""Run trees at LangSmith. LANGSMITH_TRACING turns them on, and LangChain reads the key, the endpoint and the project by
itself.

https://docs.langchain.com/langsmith/trace-with-langgraph
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import structlog

from robyn_server.concurrency.daemon_thread import finishes
from robyn_server.core.langsmith import is_langsmith_on
from robyn_server.core.runs import ClaimedRun

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler

FLUSH_SECONDS = 3.0
"""How long a process that stops waits for its last run trees to be sent."""

_TRACER = "langchain_core.tracers.langchain"

_log = structlog.get_logger(__name__)


def langsmith_tracers(run: ClaimedRun) -> tuple[BaseCallbackHandler, ...]:
    """The tracer for a run that names its own project or example; none where LangChain's default one does."""
    wanted: dict[str, Any] = run.kwargs.get("langsmith_tracer") or {}
    if not wanted or not is_langsmith_on():
        return ()
    from langchain_core.tracers import LangChainTracer

    return (LangChainTracer(project_name=wanted.get("project_name"), example_id=wanted.get("example_id")),)


async def flush_run_trees() -> None:
    """Send the run trees that are left, within FLUSH_SECONDS. An endpoint that hangs does not hold the process."""
    if not is_langsmith_on() or _TRACER not in sys.modules:
        return
    flush = sys.modules[_TRACER].wait_for_all_tracers
    if not await finishes(flush, FLUSH_SECONDS, "last run trees"):
        _log.warning("the last run trees were not sent to LangSmith", seconds=FLUSH_SECONDS)
