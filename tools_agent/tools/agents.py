"""Other agents as tools of an agent. The host of the agent finds them and calls them.

Rules
- An agent is offered under its own name, with its description. It takes one message, and its answer is the result.
- An agent that cannot be offered is a notice, as a tool server that is away.
- Without a host no agent is offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import BaseModel, Field

from tools_agent.errors import AgentFailed
from tools_agent.models.tool_names import adapted, unique
from tools_agent.notices import Notice, agent_tools_not_offered, one_line

_UNDESCRIBED = "Ask the agent {name}, which answers with a text."


@dataclass(frozen=True, slots=True)
class OtherAgent:
    """An agent that can be called. `description`: None when it has none."""

    agent_id: UUID
    name: str
    description: str | None


@dataclass(frozen=True, slots=True)
class MissingAgent:
    """An agent that is not offered. `why`: the end of a sentence, such as `it does not exist`."""

    agent_id: UUID
    why: str


class AgentHost(Protocol):
    async def find(
        self, agent_ids: Sequence[UUID], config: RunnableConfig
    ) -> tuple[Sequence[OtherAgent], Sequence[MissingAgent]]:
        """Find the agents that the caller of the run may use. `config`: that of the run."""

    async def ask(self, agent_id: UUID, message: str, config: RunnableConfig) -> str:
        """Run an agent within the run of `config`, and return its answer. Raises AgentFailed."""


@dataclass(frozen=True, slots=True)
class FoundAgents:
    """The agents that an agent is offered now, and notices of those that it is not."""

    agents: tuple[OtherAgent, ...] = ()
    notices: tuple[Notice, ...] = ()

    def tools(self, taken: Sequence[str]) -> list[BaseTool]:
        """The agents as tools. `taken`: names of the agent's other tools."""
        names = set(taken)
        return [_AgentTool.of(each, unique(adapted(each.name), names)) for each in self.agents]


_host: AgentHost | None = None


def set_agent_host(host: AgentHost | None) -> None:
    """For the whole process. None: no agents are offered."""
    global _host  # noqa: PLW0603 - one for the process, as the limits are
    _host = host


async def find_agents(agent_ids: Sequence[UUID], config: RunnableConfig) -> FoundAgents:
    if not agent_ids:
        return FoundAgents()
    if _host is None:
        missing: Sequence[MissingAgent] = [MissingAgent(each, "this server cannot call agents") for each in agent_ids]
        return FoundAgents(notices=_notices(missing))
    agents, missing = await _host.find(agent_ids, config)
    return FoundAgents(tuple(agents), _notices(missing))


def _notices(missing: Sequence[MissingAgent]) -> tuple[Notice, ...]:
    return tuple(agent_tools_not_offered(each.agent_id, each.why) for each in missing)


class _Message(BaseModel):
    message: str = Field(description="The task or question for the agent, with all that it has to know.")


class _AgentTool(BaseTool):
    agent_id: UUID
    args_schema: type[BaseModel] = _Message

    @classmethod
    def of(cls, agent: OtherAgent, name: str) -> _AgentTool:
        described = agent.description or _UNDESCRIBED.format(name=agent.name)
        return cls(name=name, description=one_line(described), agent_id=agent.agent_id, metadata={"agent": agent.name})

    def _run(self, message: str) -> Any:
        raise NotImplementedError("An agent is called in an event loop.")

    async def _arun(self, message: str, config: RunnableConfig) -> str:
        if _host is None:
            raise AgentFailed("this server cannot call agents")
        return await _host.ask(self.agent_id, message, config)
