"""The schema of an agent's `configurable`. Imports only pydantic, so reading a configuration is cheap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from .errors import ConfigurationInvalid

_SERVER_MEMBERS = frozenset({"name", "url", "tools", "auth_required"})
DEFAULT_MODEL = "openai:gpt-4o"
MAX_ITEMS = 1000
"""Elements of a list. A list ends at its first bad element: a caller may send a hundred thousand."""

T = TypeVar("T")
Listed = Annotated[list[T], Field(max_length=MAX_ITEMS, fail_fast=True)]


def _null_is(default: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: default if value is None else value)


def is_single_server(mcp_config: Any) -> bool:
    """Whether an `mcp_config` consists of the members of one server."""
    return isinstance(mcp_config, Mapping) and "servers" not in mcp_config and bool(_SERVER_MEMBERS & mcp_config.keys())


class MCPServerConfig(BaseModel):
    """One MCP server over streamable HTTP.

    `tools`: None offers every tool of the server; a list is an allow-list and fails closed.
    `auth_required`: connect only with the user's own token.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, _null_is("default")] = "default"
    url: str
    tools: Listed[str] | None = None
    auth_required: Annotated[bool, _null_is(False)] = False


class MCPConfig(BaseModel):
    """The MCP servers of an agent. Accepts the members of a single server in place of `servers`, too.

    That is the form of LangChain's open agent platform. Its `url` is null for an agent without a server.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    servers: Annotated[Listed[MCPServerConfig], _null_is([])] = []

    @model_validator(mode="before")
    @classmethod
    def _one_server(cls, value: Any) -> Any:
        if not is_single_server(value):
            return value
        unset = value.get("url", "") is None and value.keys() <= MCPServerConfig.model_fields.keys()
        return {"servers": [] if unset else [value]}


class Sampling(BaseModel):
    """The sampling keys that an agent may set. None means the provider's default."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    stop: str | Listed[str] | None = None
    seed: int | None = None

    def sampling(self) -> dict[str, Any]:
        """Return only the keys that are set."""
        return {key: getattr(self, key) for key in Sampling.model_fields if getattr(self, key) is not None}


class AgentConfig(Sampling):
    """An agent, as `configurable` describes it. Ignores other keys, such as thread_id and checkpoint_ns."""

    model_name: str = DEFAULT_MODEL
    system_prompt: str | None = None
    mcp_config: MCPConfig = MCPConfig()
    agent_tools: Listed[UUID] = Field(default_factory=list)
    supabase_organization_id: UUID | None = None

    @field_validator("model_name", "mcp_config", "agent_tools", mode="before")
    @classmethod
    def _null_means_absent(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].get_default(call_default_factory=True) if value is None else value


def agent_config(config: Mapping[str, Any] | None) -> AgentConfig:
    """Parse the `configurable` of a RunnableConfig. Raises ConfigurationInvalid, which names each invalid field."""
    configurable = (config or {}).get("configurable") or {}
    try:
        return AgentConfig.model_validate(dict(configurable))
    except ValidationError as error:
        raise _invalid(error, configurable.get("mcp_config")) from None


def check_mcp_config(mcp_config: Any) -> None:
    """Raises ConfigurationInvalid unless `mcp_config` is one that an agent takes. None is."""
    if mcp_config is None:
        return
    try:
        MCPConfig.model_validate(mcp_config)
    except ValidationError as error:
        raise _invalid(error, mcp_config, "mcp_config") from None


def _invalid(error: ValidationError, mcp_config: Any, *within: str) -> ConfigurationInvalid:
    # not `str(error)`, which repeats the values: one may be a secret in the wrong field
    problems = [(_where((*within, *problem["loc"]), mcp_config), _reason(problem)) for problem in error.errors()]
    return ConfigurationInvalid(
        "The agent's configuration is invalid: " + "; ".join(f"{where}: {what}" for where, what in problems),
        field=problems[0][0],
    )


def _where(path: tuple[Any, ...], mcp_config: Any) -> str:
    if is_single_server(mcp_config) and path[:3] == ("mcp_config", "servers", 0):
        path = ("mcp_config", *path[3:])
    return ".".join(map(str, path))


def _reason(problem: Any) -> str:
    if problem["type"] != "extra_forbidden":
        return str(problem["msg"])
    return "not a member; there are `servers` with name, url, tools and auth_required, or these of a single server"
