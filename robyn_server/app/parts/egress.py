"""The egress policy and the limits of a process that connects to the tool servers of agents."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import structlog

from robyn_server.egress.clients import checked_transport, guard_client
from robyn_server.settings import Settings
from tools_agent.limits import Limits, set_limits
from tools_agent.transports import set_client_guard, set_transport

if TYPE_CHECKING:
    import httpx

_log = structlog.get_logger(__name__)


def enforce_egress(settings: Settings) -> None:
    """Put the policy under the connections of agents to MCP servers and models, for the whole process."""
    policy = settings.egress_policy

    def checked(verify: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
        return checked_transport(policy, verify)

    set_transport(checked)
    set_client_guard(_guard_model)


def limit_tool_servers(settings: Settings) -> None:
    set_limits(
        Limits(
            connect=settings.mcp_connect_seconds,
            read=settings.mcp_read_seconds,
            idle=settings.mcp_idle_seconds,
            answer_bytes=settings.mcp_max_bytes,
            tools=settings.mcp_max_tools,
            result_characters=settings.mcp_max_result,
        )
    )


def _guard_model(client: Any) -> None:
    """Their URLs are the operator's, so only what is always refused is refused, and a redirect is an error."""
    try:
        guard_client(client)
        client.follow_redirects = False
    except AttributeError as error:
        # A provider without a known client, or another version of its package. The URL is the operator's, so it works.
        _log.info("the egress policy does not see the connections of a model", reason=str(error))
