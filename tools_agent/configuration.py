"""What an agent's `configurable` may say. Imports nothing but pydantic, so anybody may read a configuration cheaply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .errors import ConfigurationInvalid

DEFAULT_MODEL = "openai:gpt-4o"


class MCPServerConfig(BaseModel):
    """One MCP server, spoken to over streamable HTTP.

    `tools` None offers every tool of the server; a list is an allow-list and fails closed.
    `auth_required` servers are dialled with the user's own token and not otherwise.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = "default"
    url: str
    tools: list[str] | None = None
    auth_required: bool = False


class MCPConfig(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    servers: list[MCPServerConfig] = []


class Sampling(BaseModel):
    """The sampling keys that an agent may set. None leaves a key to the provider's default."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None

    def sampling(self) -> dict[str, Any]:
        """The keys that were given, and only those."""
        return {key: getattr(self, key) for key in Sampling.model_fields if getattr(self, key) is not None}


class AgentConfig(Sampling):
    """An agent, as `configurable` describes it. Keys that are not an agent's (thread_id, checkpoint_ns, …) are ignored."""

    model_name: str = DEFAULT_MODEL
    system_prompt: str | None = None
    mcp_config: MCPConfig = MCPConfig()
    agent_tools: list[UUID] = Field(default_factory=list)
    supabase_organization_id: UUID | None = None

    @field_validator("model_name", "mcp_config", "agent_tools", mode="before")
    @classmethod
    def _null_means_absent(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].get_default(call_default_factory=True) if value is None else value


def agent_config(config: Mapping[str, Any] | None) -> AgentConfig:
    """The agent in a RunnableConfig's `configurable`. Raises ConfigurationInvalid naming each bad field."""
    configurable = (config or {}).get("configurable") or {}
    try:
        return AgentConfig.model_validate(dict(configurable))
    except ValidationError as error:
        # not `str(error)`: it repeats values, and a value may be a secret put into the wrong field
        problems = [(".".join(map(str, problem["loc"])), problem["msg"]) for problem in error.errors()]
        raise ConfigurationInvalid(
            "The agent's configuration is invalid: " + "; ".join(f"{where}: {what}" for where, what in problems),
            field=problems[0][0],
        ) from None
