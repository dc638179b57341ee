"""Every setting, its environment variable, its default and what it means.

`docs/reference/settings.md` is generated from here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from robyn_server.core.dsn import normalise_dsn
from robyn_server.core.errors import Misconfigured
from robyn_server.core.hosts import LOOPBACK, local_host
from robyn_server.core.redis_url import check_redis_url
from robyn_server.core.registry.instances import INSTANCES_GRAPH
from robyn_server.core.runs import EventTransport
from robyn_server.core.store.options import StoreIndex, StoreLifetimes
from robyn_server.core.ttl import LONGEST_TTL, PruneStrategy

MEBIBYTE = 1024 * 1024
_ALIKE = 0.85
"""Similarity (difflib) from which on a name is taken for a misspelled one."""

HS256_SECRET_BYTES = 32
"""RFC 7518, section 3.2: a key at least as long as the hash."""


class AuthMode(StrEnum):
    NONE = "none"
    KEYS = "keys"
    JWT = "jwt"


class LogFormat(StrEnum):
    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class GraphSource(BaseModel):
    """`path`: `module:name` or `path/to/file.py:name`. `description`: of the graph's default assistant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    description: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


def _env(name: str, default: Any, description: str, **limits: Any) -> Any:
    return Field(default, validation_alias=name, description=description, **limits)


class Settings(BaseSettings):
    """Read once, in the composition root, and handed on in arguments. Nothing else reads the environment."""

    model_config = SettingsConfigDict(env_file=None, extra="ignore", frozen=True, populate_by_name=True)

    # database
    database_url: SecretStr | None = _env(
        "DATABASE_URL", None, "The server's database, PostgreSQL 15 or newer. Unset: an embedded one."
    )
    database_direct_url: SecretStr | None = _env(
        "DATABASE_DIRECT_URL", None, "The same database without a pooler between, for LISTEN and migrations."
    )
    catalogue_database_url: SecretStr | None = _env(
        "CATALOGUE_DATABASE_URL", None, "The database of the catalogue. Unset: DATABASE_URL."
    )
    catalogue_direct_url: SecretStr | None = _env(
        "CATALOGUE_DIRECT_URL",
        None,
        "The catalogue's database without a transaction pooler between, for its change feed.",
    )
    data_dir: Path = _env("AGENTHALL_DATA_DIR", Path(".agenthall"), "Directory of the embedded database.")
    pool_size: int = _env("AGENTHALL_POOL_SIZE", 8, "Connections of each pool in each process.", ge=1, le=200)

    # web
    host: str = _env("AGENTHALL_HOST", "127.0.0.1", "Address to listen on.")
    port: int = _env("AGENTHALL_PORT", 2024, "Port to listen on.", ge=0, le=65535)
    web_processes: int = _env("AGENTHALL_WEB_PROCESSES", 1, "Web processes of one `serve`.", ge=1, le=64)
    max_body_bytes: int = _env("AGENTHALL_MAX_BODY_BYTES", 4 * MEBIBYTE, "Largest request body.", ge=1024)
    max_body_values: int = _env(
        "AGENTHALL_MAX_BODY_VALUES", 150_000, "Most elements and members of a request body, at any depth.", ge=100
    )
    max_answer_bytes: int = _env(
        "AGENTHALL_MAX_ANSWER_BYTES",
        16 * MEBIBYTE,
        "Largest answer with a list: of assistants, threads, states, runs, and what else is listed. Beyond it the answer is 413.",
        ge=65536,
    )
    request_seconds: float = _env(
        "AGENTHALL_REQUEST_TIMEOUT",
        8.0,
        "Seconds that a request may take to be answered, or a stream to begin. Beyond it the answer is 503.",
        gt=0,
    )
    max_streams: int = _env(
        "AGENTHALL_MAX_STREAMS", 256, "Open streams of one web process. Beyond it the answer is 503.", ge=1
    )
    streams_per_principal: int | None = _env(
        "AGENTHALL_STREAMS_PER_PRINCIPAL",
        None,
        "Of these, streams of one principal. Beyond it the answer is 429. Unset: a quarter. No limit with AUTH_MODE=none and no handlers.",
        ge=1,
    )
    streams_recheck_seconds: float = _env(
        "AGENTHALL_STREAMS_RECHECK", 15.0, "Seconds between checks of an open stream's credentials.", gt=0
    )
    heartbeat_seconds: float = _env("AGENTHALL_HEARTBEAT", 5.0, "Seconds between heartbeats on a silent stream.", gt=0)
    stream_stall_seconds: float = _env(
        "AGENTHALL_STREAM_STALL", 30.0, "Seconds after which a reader that does not read is disconnected.", gt=0
    )
    drain_seconds: float = _env(
        "AGENTHALL_DRAIN_SECONDS", 10.0, "Seconds that requests and runs may take to finish at a stop.", ge=0
    )
    share_port: bool = _env("AGENTHALL_SHARE_PORT", False, "Share the port with other web processes. `serve` sets it.")
    cpu_pinning: bool = _env("AGENTHALL_CPU_PINNING", True, "`serve` pins each web process to its own core.")
    web_cpu: int | None = _env("AGENTHALL_WEB_CPU", None, "Pin the web process to this core.", ge=0)
    cors_origins: str = _env(
        "AGENTHALL_CORS_ORIGINS",
        "*",
        "Origins that a browser may call from, separated by commas. With AUTH_MODE=none, `*` means pages of this machine.",
    )

    # sockets
    sockets_port: int = _env(
        "AGENTHALL_SOCKETS_PORT",
        2025,
        "Port of the WebSockets. 0 picks a free one. Under `serve`, unset: the web's port + 1, or a free one.",
        ge=0,
        le=65535,
    )
    sockets_url: str | None = _env(
        "AGENTHALL_SOCKETS_URL",
        None,
        "Address of the WebSockets in `/info`: `wss://…`. Unset: host and port.",
    )
    sockets_max: int = _env(
        "AGENTHALL_SOCKETS_MAX", 20_000, "Open WebSockets. Beyond it they are closed with 4429.", ge=1
    )
    sockets_per_principal: int = _env(
        "AGENTHALL_SOCKETS_PER_PRINCIPAL", 10_000, "Of these, WebSockets of one principal.", ge=1
    )
    sockets_messages: float = _env(
        "AGENTHALL_SOCKETS_MESSAGES", 50.0, "Messages per second of one WebSocket. Twice as many for a moment.", gt=0
    )
    sockets_registrations: int = _env("AGENTHALL_SOCKETS_REGISTRATIONS", 64, "Registrations of one WebSocket.", ge=1)
    sockets_grace_seconds: float = _env(
        "AGENTHALL_SOCKETS_GRACE", 10.0, "Seconds that an instance has to come back after its WebSocket broke.", ge=0
    )
    sockets_recheck_seconds: float = _env(
        "AGENTHALL_SOCKETS_RECHECK", 15.0, "Seconds between checks of an open WebSocket's credentials.", gt=0
    )

    # registry
    watch_keep_seconds: float = _env(
        "AGENTHALL_WATCH_KEEP", 3600.0, "Seconds that events of instances are kept. A watch resumes from them.", ge=1
    )
    watch_keep_rows: int = _env("AGENTHALL_WATCH_KEEP_ROWS", 100_000, "Largest number of these events.", ge=1)
    max_agent_types: int = _env(
        "AGENTHALL_MAX_AGENT_TYPES",
        1000,
        "Types of agents (manifests) that one organization may create.",
        ge=1,
        le=2**31 - 1,
    )
    max_configurations: int = _env(
        "AGENTHALL_MAX_CONFIGURATIONS", 1000, "Configurations of one organization.", ge=1, le=2**31 - 1
    )
    max_instances: int = _env(
        "AGENTHALL_MAX_INSTANCES",
        100_000,
        "Instances of one organization that have not ended. Beyond these three the answer is 429.",
        ge=1,
        le=2**31 - 1,
    )
    keeper_id: UUID | None = _env(
        "AGENTHALL_KEEPER_ID",
        None,
        "Identity under which a process holds leases. Unset: a new one at each start. Reuse it when you restart a process, and"
        " never for two processes at once. `serve` sets it.",
    )

    # worker
    worker_processes: int = _env("AGENTHALL_WORKER_PROCESSES", 1, "Workers of one `serve`.", ge=1, le=64)
    worker_slots: int = _env(
        "AGENTHALL_WORKER_SLOTS", 16, "Runs that one worker executes at the same time.", ge=1, le=1000
    )
    worker_instance_runs: int = _env(
        "AGENTHALL_WORKER_INSTANCE_RUNS",
        1000,
        "Runs of agents elsewhere that one worker has beside those in its slots. They only wait for instances.",
        ge=1,
        le=10_000,
    )
    run_lease_seconds: float = _env(
        "AGENTHALL_RUN_LEASE", 15.0, "Seconds after which a silent worker loses its runs.", gt=0.5
    )
    run_max_attempts: int = _env(
        "AGENTHALL_RUN_MAX_ATTEMPTS", 3, "Attempts of a run before it ends with an error.", ge=1
    )
    run_timeout_seconds: float = _env("AGENTHALL_RUN_TIMEOUT", 86400.0, "Seconds that one run may take.", gt=0)
    agent_depth: int = _env(
        "AGENTHALL_AGENT_DEPTH", 4, "Agents that may call one another as tools, one within the other.", ge=1, le=16
    )
    loop_stall_seconds: float = _env(
        "AGENTHALL_LOOP_STALL",
        60.0,
        "Seconds that a graph may hold its worker's event loop. Then the worker is replaced, and the run loses an attempt.",
        ge=2,
    )
    event_ttl_seconds: float = _env(
        "AGENTHALL_EVENT_TTL", 120.0, "Seconds that a finished run's events can be read.", ge=1
    )

    max_state_bytes: int = _env(
        "AGENTHALL_MAX_STATE_BYTES",
        8 * MEBIBYTE,
        "Largest state of a thread. A run that makes it larger ends with an error.",
        ge=65536,
    )

    # Redis
    redis_url: SecretStr | None = _env(
        "REDIS_URL",
        None,
        "A Redis 6.2 or Valkey server for the events of runs: `redis://`, `rediss://` (TLS) or `unix://`. Unset: PostgreSQL has them.",
    )
    event_transport: EventTransport | None = _env(
        "AGENTHALL_EVENT_TRANSPORT",
        None,
        "Where new runs have their events: `postgres` or `redis`. Unset: `redis` with REDIS_URL. Earlier runs keep theirs.",
    )
    redis_prefix: str = _env(
        "AGENTHALL_REDIS_PREFIX",
        "agenthall:",
        "Beginning of every key and channel in Redis, the same for all processes of one database.",
        pattern=r"^[A-Za-z0-9_.:/-]{1,64}$",
    )
    redis_seconds: float = _env(
        "AGENTHALL_REDIS_TIMEOUT", 2.0, "Seconds for a connection to Redis, and for an answer of it.", gt=0, le=60
    )
    redis_connections: int = _env(
        "AGENTHALL_REDIS_CONNECTIONS", 8, "Connections of one process to Redis.", ge=3, le=200
    )
    redis_max_events: int = _env(
        "AGENTHALL_REDIS_MAX_EVENTS",
        100_000,
        "Events of one run that Redis keeps; of more, the oldest are deleted. 0: any number.",
        ge=0,
    )

    # threads
    thread_ttl: float | None = _env(
        "AGENTHALL_THREAD_TTL",
        None,
        "Minutes that a thread lives which names no `ttl`, counted from its last run or update. Unset: for ever.",
        gt=0,
        le=LONGEST_TTL.total_seconds() / 60,
    )
    thread_ttl_strategy: PruneStrategy = _env(
        "AGENTHALL_THREAD_TTL_STRATEGY",
        PruneStrategy.DELETE,
        "The end of such a thread: `delete`, or `keep_latest`, which deletes all its states but the latest.",
    )
    thread_max_idle: float | None = _env(
        "AGENTHALL_THREAD_MAX_IDLE",
        None,
        "Minutes without a run or an update after which any thread is deleted. Unset: none is.",
        gt=0,
        le=LONGEST_TTL.total_seconds() / 60,
    )
    keep_checkpoints: int | None = _env(
        "AGENTHALL_KEEP_CHECKPOINTS",
        None,
        "Latest checkpoints of a thread that are kept, the same for all workers. A run of 10 steps writes 12. Unset: all.",
        ge=1,
        le=2**31 - 1,
    )
    thread_sweep_minutes: float = _env(
        "AGENTHALL_THREAD_SWEEP",
        5.0,
        "Minutes between two looks of a worker for threads that end, or have too many checkpoints.",
        gt=0,
    )
    thread_sweep_limit: int | None = _env(
        "AGENTHALL_THREAD_SWEEP_LIMIT",
        None,
        "Most threads that one look ends because of their ttl. Unset: all that are due.",
        ge=1,
    )

    metrics_host: str = _env("AGENTHALL_METRICS_HOST", "127.0.0.1", "Address that AGENTHALL_METRICS_PORT listens on.")
    metrics_port: int | None = _env(
        "AGENTHALL_METRICS_PORT",
        None,
        "Port on which a worker that was started alone answers scrapes, without credentials. Unused under `serve`.",
        ge=1,
        le=65535,
    )

    # graphs and agents
    graphs: dict[str, GraphSource] = _env(
        "AGENTHALL_GRAPHS",
        {"agent": "tools_agent.agent:graph"},
        'Graphs to serve, as JSON: id to `module:name` or `{"path", "description"}`. It replaces the default.',
        validate_default=True,
    )
    project: Path | None = _env(
        "AGENTHALL_PROJECT", None, "The `langgraph.json` that the graphs are from. `--config` sets it."
    )
    store_index: StoreIndex | None = _env(
        "AGENTHALL_STORE_INDEX",
        None,
        'Index of the store by meaning, as JSON: `{"embed", "dims", "fields"}`, as `store.index` of a `langgraph.json`.',
    )
    store_lifetimes: StoreLifetimes | None = _env(
        "AGENTHALL_STORE_TTL",
        None,
        'Lifetime of items, as JSON: `{"default_ttl", "refresh_on_read"}`, in minutes. Unset: items are kept.',
    )
    auth_handlers: str | None = _env(
        "AGENTHALL_AUTH",
        None,
        "Handlers that authenticate and authorize the LangGraph API, as `module:name` of a `langgraph_sdk.Auth`. `auth` of a"
        " `langgraph.json` sets it.",
        min_length=1,
    )
    default_model: str = _env("AGENTHALL_DEFAULT_MODEL", "openai:gpt-4o", "Model of agents that name none.")

    models: str | None = _env(
        "AGENTHALL_MODELS",
        None,
        "Models that runs may use, as patterns: `openai:gpt-4o*,anthropic:*`. Unset: the default model, and those of the"
        " catalogue's agents; administrators may name any.",
    )
    mcp_connect_seconds: float = _env(
        "AGENTHALL_MCP_CONNECT_TIMEOUT", 5.0, "Seconds that an MCP server has to answer a connection.", gt=0
    )
    mcp_read_seconds: float = _env(
        "AGENTHALL_MCP_READ_TIMEOUT", 60.0, "Seconds that a call of an MCP tool may take.", gt=0
    )
    mcp_idle_seconds: float = _env(
        "AGENTHALL_MCP_IDLE", 300.0, "Seconds after which an unused MCP session is closed.", gt=0
    )

    mcp_max_bytes: int = _env(
        "AGENTHALL_MCP_MAX_BYTES", 4 * MEBIBYTE, "Largest answer of an MCP server, and event of its stream.", ge=1024
    )
    mcp_max_tools: int = _env("AGENTHALL_MCP_MAX_TOOLS", 256, "Most tools of one MCP server.", ge=1)
    mcp_max_result: int = _env(
        "AGENTHALL_MCP_MAX_RESULT",
        262_144,
        "Characters of a tool's result that the model is given. The rest is cut, with a note.",
        ge=1024,
    )

    # agent sync
    agent_sync_scope: str = _env(
        "AGENT_SYNC_SCOPE", "none", "Agents to sync ahead of use: `none`, `all`, or `org:<uuid>[,org:<uuid>]`."
    )
    agent_sync_sources: str = _env(
        "AGENT_SYNC_SOURCES",
        "catalogue",
        "Sources of agents: `catalogue`, `configurations` (the registry's), or `catalogue,configurations`.",
    )
    agent_sync_cache_ttl: float = _env(
        "AGENT_SYNC_CACHE_TTL", 300.0, "Seconds that a synced agent counts as fresh.", ge=0
    )
    agent_sync_stale: float = _env(
        "AGENT_SYNC_STALE", 3600.0, "Seconds that a synced agent is served while the catalogue does not answer.", ge=0
    )
    agent_sync_every: float = _env("AGENT_SYNC_EVERY", 60.0, "Seconds between passes over the whole scope.", gt=0)
    agent_sync_poll: float = _env(
        "AGENT_SYNC_POLL", 2.0, "Seconds between polls of updated_at, where no change feed reports edits.", gt=0
    )
    agent_sync_catalogue: str = _env(
        "AGENT_SYNC_CATALOGUE", "tables", "`tables` (five in schema public), or your own view: `schema.view`."
    )
    agent_sync_write_back_to: str = _env(
        "AGENT_SYNC_WRITE_BACK_TO",
        "public.agents.langgraph_assistant_id",
        "Column to write the assistant's id to: `schema.table.column`. The table's key is `id`.",
    )
    agent_sync_write_back: bool = _env(
        "AGENT_SYNC_WRITE_BACK", True, "Write langgraph_assistant_id back to the catalogue."
    )
    agent_sync_templates: str = _env(
        "AGENT_SYNC_TEMPLATES",
        "off",
        "`on`: an agent that is not `is_global` is a template, and each user has a private copy.",
    )
    mcp_tool_names: str = _env(
        "AGENT_SYNC_TOOL_NAMES",
        "tools",
        "Meaning of the catalogue's tool_name: `tools`, or `servers` (all tools of the server).",
    )

    # identity
    auth_mode: AuthMode = _env(
        "AUTH_MODE", AuthMode.NONE, "`none` (loopback only), `keys` (API keys), or `jwt` (tokens and API keys)."
    )
    jwt_secret: SecretStr | None = _env("AUTH_JWT_SECRET", None, "HS256 secret, 32 bytes or more.")
    jwks_url: str | None = _env(
        "AUTH_JWKS_URL", None, "URL of the public keys for RS256, ES256 and EdDSA. https, or http on loopback."
    )
    jwt_audience: str | None = _env("AUTH_JWT_AUDIENCE", None, "Required `aud` of a token.")
    jwt_issuer: str | None = _env("AUTH_JWT_ISSUER", None, "Required `iss` of a token.")
    jwt_organizations_claim: str = _env(
        "AUTH_ORGANIZATIONS_CLAIM", "organizations", "Dotted path of the claim that lists organization ids."
    )
    jwt_permissions_claim: str = _env(
        "AUTH_PERMISSIONS_CLAIM", "permissions", "Dotted path of the claim that lists permissions."
    )
    membership_query: str | None = _env(
        "AUTH_MEMBERSHIP_QUERY",
        None,
        "SQL query on the catalogue that returns organization ids for `$1`, the `sub`. Replaces the claim.",
    )

    dev_tenant: UUID | None = _env(
        "AGENTHALL_DEV_TENANT", None, "With AUTH_MODE=none, the organization of instances that name none."
    )
    dev_key: SecretStr | None = _env(
        "AGENTHALL_DEV_KEY", None, "With AUTH_MODE=none, the API key that a WebSocket's `auth` must match."
    )

    # logs
    log_level: str = _env("AGENTHALL_LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR.")
    log_format: LogFormat = _env(
        "AGENTHALL_LOG_FORMAT", LogFormat.AUTO, "`console`, `json`, or `auto`: `console` in a terminal, else `json`."
    )

    @field_validator("graphs")
    @classmethod
    def _without_built_in(cls, value: dict[str, GraphSource]) -> dict[str, GraphSource]:
        if INSTANCES_GRAPH in value:
            raise ValueError(f"'{INSTANCES_GRAPH}' is the id of the server's own graph; choose another")
        return value

    @field_validator("mcp_tool_names")
    @classmethod
    def _known_tool_names(cls, value: str) -> str:
        if value not in {"tools", "servers"}:
            raise ValueError("must be `tools` or `servers`")
        return value

    @field_validator("agent_sync_templates")
    @classmethod
    def _on_or_off(cls, value: str) -> str:
        known = {"on": "on", "true": "on", "off": "off", "false": "off"}
        if value.strip().lower() not in known:
            raise ValueError("must be `on` or `off`")
        return known[value.strip().lower()]

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.auth_mode is not AuthMode.NONE and (self.dev_tenant is not None or self.dev_key is not None):
            raise ValueError("AGENTHALL_DEV_TENANT and AGENTHALL_DEV_KEY are for AUTH_MODE=none only")
        if self.auth_mode is AuthMode.JWT:
            self._check_tokens()
            return self
        for name, given in (("AUTH_JWKS_URL", self.jwks_url), ("AUTH_MEMBERSHIP_QUERY", self.membership_query)):
            if given is not None:
                raise ValueError(f"{name} is for tokens: it needs AUTH_MODE=jwt")
        if self.auth_mode is AuthMode.NONE and self.host not in LOOPBACK:
            raise ValueError(f"AUTH_MODE=none serves loopback only, not {self.host}; set AUTH_MODE=keys or jwt")
        return self

    @model_validator(mode="after")
    def _has_redis(self) -> Settings:
        if self.event_transport is EventTransport.REDIS and self.redis_url is None:
            raise ValueError("AGENTHALL_EVENT_TRANSPORT=redis needs REDIS_URL")
        return self

    def _check_tokens(self) -> None:
        secret = None if self.jwt_secret is None else self.jwt_secret.get_secret_value()
        if secret is None and self.jwks_url is None:
            raise ValueError("AUTH_MODE=jwt needs AUTH_JWT_SECRET or AUTH_JWKS_URL")
        if secret is not None and len(secret.encode()) < HS256_SECRET_BYTES:
            raise ValueError("AUTH_JWT_SECRET must have at least 32 bytes")
        if self.jwks_url is not None:
            self._check_jwks(self.jwks_url)
        for name, claim in (
            ("AUTH_ORGANIZATIONS_CLAIM", self.jwt_organizations_claim),
            ("AUTH_PERMISSIONS_CLAIM", self.jwt_permissions_claim),
        ):
            if claim.split(".")[0] == "user_metadata":
                raise ValueError(f"{name}: user_metadata can be edited by its user")

    def _check_jwks(self, url: str) -> None:
        """Require TLS, or an attacker could replace the keys, and an audience or issuer, because keys are shared (RFC
        8725, section 3.9)."""
        parts = urlsplit(url)
        if not parts.hostname or (
            parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK)
        ):
            raise ValueError("AUTH_JWKS_URL must be an https URL, or http on loopback")
        if self.jwt_audience is None and self.jwt_issuer is None:
            raise ValueError("AUTH_JWKS_URL needs AUTH_JWT_AUDIENCE or AUTH_JWT_ISSUER")

    @property
    def dsn(self) -> str:
        """The database's normalised URL. Raises Misconfigured when there is none."""
        if self.database_url is None:
            raise Misconfigured("DATABASE_URL is not set", field="DATABASE_URL")
        return normalise_dsn(self.database_url.get_secret_value())

    @property
    def direct_dsn(self) -> str:
        return (
            self.dsn if self.database_direct_url is None else normalise_dsn(self.database_direct_url.get_secret_value())
        )

    @property
    def catalogue_dsn(self) -> str:
        url = self.catalogue_database_url
        return self.dsn if url is None else normalise_dsn(url.get_secret_value())

    @property
    def catalogue_direct_dsn(self) -> str:
        if self.catalogue_direct_url is not None:
            return normalise_dsn(self.catalogue_direct_url.get_secret_value())
        return self.direct_dsn if self.catalogue_database_url is None else self.catalogue_dsn

    @property
    def checked_redis_url(self) -> str | None:
        """Raises Misconfigured for a URL that cannot be used."""
        return None if self.redis_url is None else check_redis_url(self.redis_url.get_secret_value())

    @property
    def uses_redis_for_new_runs(self) -> bool:
        return self.redis_url is not None and self.event_transport is not EventTransport.POSTGRES

    @property
    def sockets_address(self) -> str | None:
        """Where clients find the WebSockets; None where only the sockets process knows its port."""
        if self.sockets_url is not None or self.sockets_port == 0:
            return self.sockets_url
        return f"ws://{local_host(self.host)}:{self.sockets_port}/ws"

    @property
    def allowed_models(self) -> tuple[str, ...] | None:
        if self.models is None:
            return None
        return tuple(pattern for each in self.models.split(",") if (pattern := each.strip()))

    @property
    def graph_paths(self) -> dict[str, str]:
        return {graph_id: graph.path for graph_id, graph in self.graphs.items()}

    @property
    def cache_ttl(self) -> timedelta:
        return timedelta(seconds=self.agent_sync_cache_ttl)


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, `overrides` (by field name) first.

    Raises Misconfigured naming each bad variable.
    """
    refuse_misspelled(os.environ)
    given = {name: value for name, value in overrides.items() if value is not None}
    if "database_url" in given:  # DATABASE_DIRECT_URL belongs to DATABASE_URL, and would lead to another database
        given.setdefault("database_direct_url", given["database_url"])
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors())
        raise Misconfigured(problems) from None
    except SettingsError as error:  # a variable that should hold JSON; its text names the field
        raise Misconfigured(_unreadable(error)) from None


_OURS = ("AGENTHALL_", "AGENT_SYNC_", "AUTH_JWT_", "AUTH_MEMBERSHIP_")
_OTHER = (
    "AGENTHALL_API_KEY",
    "AGENTHALL_PROCESS",
    "AGENTHALL_READY_FD",
    "AGENTHALL_STATE_DIR",
    "AGENTHALL_TENANT",
    "AGENTHALL_URL",
)
"""Variables of commands and clients."""

_NOT_OURS = re.compile(r"AGENTHALL_(TEST_\w+|\w*SERVICE_(HOST|PORT)\w*|PORT_\d+_\w+)")
"""Variables of tests, and those that Kubernetes sets for a service named agenthall."""


def refuse_misspelled(environment: Mapping[str, str]) -> None:
    """Raises Misconfigured for each variable that is nearly the name of a setting."""
    known = {str(each.validation_alias) for each in Settings.model_fields.values()}
    unknown = [name for name in find_unknown(environment) if get_close_matches(name, known, n=1, cutoff=_ALIKE)]
    if unknown:
        meant = {name: get_close_matches(name, known, n=1, cutoff=_ALIKE)[0] for name in unknown}
        raise Misconfigured(
            "; ".join(f"{name}: there is no such setting. Did you mean {one}?" for name, one in meant.items()),
            field=unknown[0],
        )


def find_unknown(environment: Mapping[str, str]) -> list[str]:
    """Variables with a prefix of ours that are no settings."""
    known = {str(each.validation_alias) for each in Settings.model_fields.values()} | set(_OTHER)
    return sorted(
        name for name in environment if name.startswith(_OURS) and name not in known and not _NOT_OURS.fullmatch(name)
    )


def _unreadable(error: SettingsError) -> str:
    named = [each.validation_alias for name, each in Settings.model_fields.items() if f'"{name}"' in str(error)]
    return f"{', '.join(map(str, named)) or 'A setting'}: not the JSON object that it should be"


def _problem(detail: Any) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
