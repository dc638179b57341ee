"""Sync the agents that an agent may call as tools, before a run starts.

A worker looks them up in the database only, so each has to be there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Forbidden, Invalid, NotFound, Unservable
from robyn_server.storage.assistants import ResolvedAssistant

from .service import AssistantService

MOST = 64
"""Agents that are looked up for one run; further ones are called as they were synced last."""


async def sync_called_agents(assistants: AssistantService, principal: Principal, assistant: ResolvedAssistant) -> None:
    """Sync the agents that the assistant may call, those that they may call, and so on.

    An agent that cannot be found is left to the run, which names it. Raises Unavailable.
    """
    seen, waiting = {str(assistant.assistant_id)}, list(_called_by(assistant))
    while waiting and len(seen) < MOST:
        agent_id = waiting.pop(0)
        if agent_id in seen:
            continue
        seen.add(agent_id)
        with contextlib.suppress(NotFound, Invalid, Forbidden, Unservable):
            waiting += _called_by(await assistants.resolve(principal, agent_id))


def _called_by(assistant: ResolvedAssistant) -> Iterable[str]:
    called = assistant.config.get("configurable", {}).get("agent_tools")
    return map(str, called) if isinstance(called, list) else ()
