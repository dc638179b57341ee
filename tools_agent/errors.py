"""What can go wrong in building or running an agent. Every message is fit for the agent's user and names no secret.

ToolsAgentError
├── ConfigurationInvalid      a field of the agent's configuration has the wrong type or shape; `field` names it
├── ModelUnavailable
│   ├── UnknownModel          no provider goes by that name
│   ├── ModelPackageMissing   the provider's package is not installed
│   ├── ModelKeyMissing       the provider's API key is not set
│   └── SamplingNotOffered    the provider has no place for a sampling key that was given
├── ServerUnavailable         an MCP server cannot be reached, or refuses us
└── ToolFailed                one call of a tool came to nothing
    ├── ToolTimedOut          no answer within the read timeout; the tool may have run
    ├── SessionLost           the connection ended during the call; the tool may have run
    │   └── SessionGone       the server no longer knows the session; the tool did not run
    └── InteractionRequired   the user must do something first, usually at a URL
"""

from __future__ import annotations


class ToolsAgentError(Exception):
    """Base. `code` is stable, `str(error)` is for people."""

    code = "agent_error"

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class ConfigurationInvalid(ToolsAgentError):
    code = "configuration_invalid"


class ModelUnavailable(ToolsAgentError):
    code = "model_unavailable"


class UnknownModel(ModelUnavailable):
    code = "unknown_model"


class ModelPackageMissing(ModelUnavailable):
    code = "model_package_missing"


class ModelKeyMissing(ModelUnavailable):
    code = "model_key_missing"


class SamplingNotOffered(ModelUnavailable):
    code = "sampling_not_offered"


class ServerUnavailable(ToolsAgentError):
    code = "mcp_server_unavailable"


class ToolFailed(ToolsAgentError):
    code = "tool_failed"


class ToolTimedOut(ToolFailed):
    code = "tool_timed_out"


class SessionLost(ToolFailed):
    code = "mcp_session_lost"


class SessionGone(SessionLost):
    code = "mcp_session_gone"


class InteractionRequired(ToolFailed):
    """`urls` are where the user goes, in the order the server gave them; it may be empty."""

    code = "interaction_required"

    def __init__(self, detail: str, urls: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.urls = urls
