"""Fetch the credentials with which an agent connects to its MCP servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tools_agent.configuration import MCPServerConfig, agent_config
from tools_agent.credentials import Credentials, find_credentials


@dataclass(frozen=True, slots=True)
class FetchedTokens:
    """`servers`: those with `auth_required`, in the order of the configuration. `credentials`: what the host found."""

    servers: tuple[MCPServerConfig, ...] = ()
    credentials: Credentials = field(default_factory=dict)

    @property
    def first_url(self) -> str | None:
        return self.servers[0].url if self.servers else None

    def __bool__(self) -> bool:
        return bool(self.servers)


async def fetch_tokens(config: Mapping[str, Any] | None) -> FetchedTokens:
    """Fetch the credentials of the servers of `config["configurable"]["mcp_config"]` for the run's user.

    The server that runs the agent has them, see `credentials.py`. Raises ConfigurationInvalid.
    """
    servers = agent_config(config).mcp_config.servers
    credentials = await find_credentials(servers, config or {})  # type: ignore[arg-type]
    return FetchedTokens(tuple(server for server in servers if server.auth_required), credentials)
