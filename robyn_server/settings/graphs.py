"""Settings of graphs and agents."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from robyn_server.core.registry.instances import INSTANCES_GRAPH
from robyn_server.core.store.options import StoreIndex, StoreLifetimes

from .field import MEBIBYTE, env
from .part import SettingsPart


class MiddlewareOrder(StrEnum):
    """Whether the middleware of a project's app comes before the authentication."""

    MIDDLEWARE_FIRST = "middleware_first"
    AUTH_FIRST = "auth_first"


class GraphSource(BaseModel):
    """`path`: `module:name` or `path/to/file.py:name`. `description`: of the graph's default assistant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    description: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class GraphSettings(SettingsPart):
    graphs: dict[str, GraphSource] = env(
        "AGENTHALL_GRAPHS",
        {"agent": "tools_agent.agent:graph"},
        'Graphs to serve, as JSON: id to `module:name` or `{"path", "description"}`. It replaces the default.',
        validate_default=True,
    )
    project: Path | None = env(
        "AGENTHALL_PROJECT", None, "The `langgraph.json` that the graphs are from. `--config` sets it."
    )
    store_index: StoreIndex | None = env(
        "AGENTHALL_STORE_INDEX",
        None,
        'Index of the store by meaning, as JSON: `{"embed", "dims", "fields"}`, as `store.index` of a `langgraph.json`.',
    )
    store_lifetimes: StoreLifetimes | None = env(
        "AGENTHALL_STORE_TTL",
        None,
        'Lifetime of items, as JSON: `{"default_ttl", "refresh_on_read"}`, in minutes. Unset: items are kept.',
    )
    auth_handlers: str | None = env(
        "AGENTHALL_AUTH",
        None,
        "Handlers that authenticate and authorize the LangGraph API, as `module:name` of a `langgraph_sdk.Auth`. `auth` of a"
        " `langgraph.json` sets it.",
        min_length=1,
    )
    http_app: str | None = env(
        "AGENTHALL_HTTP_APP",
        None,
        "An ASGI app with routes of your own, as `module:name` of a FastAPI or Starlette app, or of another. `http.app` of a"
        " `langgraph.json` sets it.",
        min_length=1,
    )
    http_app_auth: bool = env(
        "AGENTHALL_HTTP_APP_AUTH", False, "Authenticate the requests of these routes. Unset: they are open."
    )
    http_middleware_order: MiddlewareOrder = env(
        "AGENTHALL_HTTP_MIDDLEWARE_ORDER",
        MiddlewareOrder.MIDDLEWARE_FIRST,
        "`middleware_first`: the middleware of the app may bring credentials. `auth_first`: it only sees requests that have"
        " them.",
    )
    default_model: str = env("AGENTHALL_DEFAULT_MODEL", "openai:gpt-4o", "Model of agents that name none.")

    models: str | None = env(
        "AGENTHALL_MODELS",
        None,
        "Models that runs may use, as patterns: `openai:gpt-4o*,anthropic:*`. Unset: the default model, and those of the"
        " catalogue's agents; administrators may name any.",
    )
    mcp_connect_seconds: float = env(
        "AGENTHALL_MCP_CONNECT_TIMEOUT", 5.0, "Seconds that an MCP server has to answer a connection.", gt=0
    )
    mcp_read_seconds: float = env(
        "AGENTHALL_MCP_READ_TIMEOUT", 60.0, "Seconds that a call of an MCP tool may take.", gt=0
    )
    mcp_idle_seconds: float = env(
        "AGENTHALL_MCP_IDLE", 300.0, "Seconds after which an unused MCP session is closed.", gt=0
    )

    mcp_max_bytes: int = env(
        "AGENTHALL_MCP_MAX_BYTES", 4 * MEBIBYTE, "Largest answer of an MCP server, and event of its stream.", ge=1024
    )
    mcp_max_tools: int = env("AGENTHALL_MCP_MAX_TOOLS", 256, "Most tools of one MCP server.", ge=1)
    mcp_max_result: int = env(
        "AGENTHALL_MCP_MAX_RESULT",
        262_144,
        "Characters of a tool's result that the model is given. The rest is cut, with a note.",
        ge=1024,
    )

    @model_validator(mode="after")
    def _has_app(self) -> GraphSettings:
        if self.http_app_auth and self.http_app is None:
            raise ValueError("AGENTHALL_HTTP_APP_AUTH needs AGENTHALL_HTTP_APP")
        if self.http_middleware_order is MiddlewareOrder.AUTH_FIRST and self.http_app is None:
            raise ValueError("AGENTHALL_HTTP_MIDDLEWARE_ORDER needs AGENTHALL_HTTP_APP")
        return self

    @field_validator("graphs")
    @classmethod
    def _without_built_in(cls, value: dict[str, GraphSource]) -> dict[str, GraphSource]:
        if INSTANCES_GRAPH in value:
            raise ValueError(f"'{INSTANCES_GRAPH}' is the id of the server's own graph; choose another")
        return value

    @property
    def allowed_models(self) -> tuple[str, ...] | None:
        if self.models is None:
            return None
        return tuple(pattern for each in self.models.split(",") if (pattern := each.strip()))

    @property
    def graph_paths(self) -> dict[str, str]:
        return {graph_id: graph.path for graph_id, graph in self.graphs.items()}
