"""Use cases: one decision, one transaction each. They take a principal and core values, and know neither HTTP nor LangGraph."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .agent_sync import AgentSyncService
from .assistants import AssistantService
from .runs import RunService
from .threads import ThreadService


@dataclass(frozen=True, slots=True)
class Services:
    """What every route is given."""

    assistants: AssistantService
    threads: ThreadService
    runs: RunService
    agent_sync: AgentSyncService
    check_database: Callable[[], Awaitable[None]]
    """Raises Unavailable when the database does not answer."""
