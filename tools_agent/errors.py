"""Errors of building and running an agent. Every message may be shown to the agent's user and contains no secret.

ToolsAgentError
├── ConfigurationInvalid      a field of the agent's configuration has the wrong type or shape; `field` names it
├── MessagesInvalid           a message of the input cannot be used; `field` names it
├── ModelUnavailable
│   ├── UnknownModel          no provider has that name
│   ├── ModelPackageMissing   the provider's package is not installed
│   ├── ModelKeyMissing       the provider's API key is not set
│   └── SamplingNotOffered    the provider does not support a sampling key
├── ServerUnavailable         an MCP server cannot be reached or refuses the connection
├── AgentFailed               another agent, called as a tool, has failed or cannot be called
└── ToolFailed                a call of a tool failed
    ├── ArgumentsUnsendable   the model's arguments have no form in JSON; the tool did not run
    ├── AnswerUnreadable      the server's answer is no JSON-RPC; the tool may have run
    ├── ToolReportedError     the tool itself reports an error; `content` and `artifact` are its answer
    ├── ToolTimedOut          no answer within the read timeout; the tool may have run
    ├── SessionLost           the connection ended during the call; the tool may have run
    │   └── SessionGone       the server no longer knows the session; the tool did not run
    └── InteractionRequired   the user must act first, usually at a URL
"""

from __future__ import annotations

from typing import Any


class ToolsAgentError(Exception):
    """Base class. `code` is stable; `str(error)` is for people."""

    code = "agent_error"

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class ConfigurationInvalid(ToolsAgentError):
    code = "configuration_invalid"


class MessagesInvalid(ToolsAgentError):
    code = "messages_invalid"


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


class AgentFailed(ToolsAgentError):
    code = "agent_failed"


class ToolFailed(ToolsAgentError):
    """`may_have_run`: nobody knows whether the tool had its effect, so nobody may ask the model to repeat the call."""

    code = "tool_failed"
    may_have_run = False


class ArgumentsUnsendable(ToolFailed):
    code = "tool_arguments_unsendable"


class AnswerUnreadable(ToolFailed):
    code = "mcp_answer_unreadable"
    may_have_run = True


class ToolReportedError(ToolFailed):
    code = "tool_reported_error"

    def __init__(self, content: Any, artifact: Any = None) -> None:
        super().__init__("the tool reports an error")
        self.content = content
        self.artifact = artifact


class ToolTimedOut(ToolFailed):
    code = "tool_timed_out"
    may_have_run = True


class SessionLost(ToolFailed):
    code = "mcp_session_lost"
    may_have_run = True


class SessionGone(SessionLost):
    code = "mcp_session_gone"
    may_have_run = False


class InteractionRequired(ToolFailed):
    """`urls`: what the user has to open, in the order of the server; may be empty."""

    code = "interaction_required"

    def __init__(self, detail: str, urls: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.urls = urls
