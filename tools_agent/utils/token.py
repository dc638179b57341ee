"""Find the MCP servers of an agent that require the user's own token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tools_agent.configuration import MCPServerConfig, agent_config


@dataclass(frozen=True, slots=True)
class TokensNeeded:
    """The servers that require a token of the run's user, in the order of the configuration."""

    servers: tuple[MCPServerConfig, ...] = ()

    @property
    def first_url(self) -> str | None:
        return self.servers[0].url if self.servers else None

    def __bool__(self) -> bool:
        return bool(self.servers)


async def fetch_tokens(config: Mapping[str, Any] | None) -> TokensNeeded:
    """Return the servers of `config["configurable"]["mcp_config"]["servers"]` with `auth_required`.

    The server that runs the agent provides the tokens for each user. An MCP server that gets no token is reported as
    unavailable. Raises ConfigurationInvalid.
    """
    servers = agent_config(config).mcp_config.servers
    return TokensNeeded(tuple(server for server in servers if server.auth_required))
