"""Every setting, its environment variable, its default and what it means. `docs/settings.md` is generated from here."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from .core.dsn import normalise_dsn
from .core.errors import Misconfigured

MEBIBYTE = 1024 * 1024
HS256_SECRET_BYTES = 32
"""RFC 7518, section 3.2: a key at least as long as the hash."""


class AuthMode(StrEnum):
    NONE = "none"
    JWT = "jwt"


class LogFormat(StrEnum):
    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


def _env(name: str, default: Any, description: str, **limits: Any) -> Any:
    return Field(default, validation_alias=name, description=description, **limits)


class Settings(BaseSettings):
    """Read once, in the composition root, and handed on in arguments. Nothing else reads the environment."""

    model_config = SettingsConfigDict(env_file=None, extra="ignore", frozen=True, populate_by_name=True)

    # database
    database_url: SecretStr | None = _env("DATABASE_URL", None, "PostgreSQL 15 or newer. Unset: the embedded one.")
    database_direct_url: SecretStr | None = _env(
        "DATABASE_DIRECT_URL", None, "The same database past a pooler, for LISTEN and migrations."
    )
    catalogue_database_url: SecretStr | None = _env(
        "CATALOGUE_DATABASE_URL", None, "Where the catalogue's tables are. Unset: DATABASE_URL."
    )
    data_dir: Path = _env("AGENTHALL_DATA_DIR", Path(".agenthall"), "Where the embedded database lives.")
    pool_size: int = _env("AGENTHALL_POOL_SIZE", 8, "Connections of each pool in each process.", ge=1, le=200)

    # web
    host: str = _env("AGENTHALL_HOST", "127.0.0.1", "Address to listen on.")
    port: int = _env("AGENTHALL_PORT", 2024, "Port to listen on.", ge=0, le=65535)
    web_processes: int = _env("AGENTHALL_WEB_PROCESSES", 1, "Web processes of one `serve`.", ge=1, le=64)
    max_body_bytes: int = _env("AGENTHALL_MAX_BODY_BYTES", 4 * MEBIBYTE, "Largest request body.", ge=1024)
    max_streams: int = _env("AGENTHALL_MAX_STREAMS", 256, "Open streams of one web process; over it: 503.", ge=1)
    heartbeat_seconds: float = _env("AGENTHALL_HEARTBEAT", 5.0, "Seconds between heartbeats on a silent stream.", gt=0)
    stream_stall_seconds: float = _env(
        "AGENTHALL_STREAM_STALL", 30.0, "A reader that reads nothing this long is cut.", gt=0
    )
    drain_seconds: float = _env("AGENTHALL_DRAIN_SECONDS", 10.0, "Grace for requests and runs at a stop.", ge=0)
    share_port: bool = _env("AGENTHALL_SHARE_PORT", False, "Other web processes of the same server listen there too.")
    cpu_pinning: bool = _env("AGENTHALL_CPU_PINNING", True, "`serve` gives each web process one core of its own.")
    web_cpu: int | None = _env("AGENTHALL_WEB_CPU", None, "Pin the web process to this core.", ge=0)
    cors_origins: str = _env("AGENTHALL_CORS_ORIGINS", "*", "Origins that a browser may call from, comma separated.")

    # worker
    worker_processes: int = _env("AGENTHALL_WORKER_PROCESSES", 1, "Workers of one `serve`.", ge=1, le=64)
    worker_slots: int = _env("AGENTHALL_WORKER_SLOTS", 16, "Runs that one worker executes at once.", ge=1, le=1000)
    run_lease_seconds: float = _env("AGENTHALL_RUN_LEASE", 15.0, "A worker silent this long loses its runs.", gt=0.5)
    run_max_attempts: int = _env("AGENTHALL_RUN_MAX_ATTEMPTS", 3, "Attempts before a lost run is an error.", ge=1)
    run_timeout_seconds: float = _env("AGENTHALL_RUN_TIMEOUT", 86400.0, "Longest time one run may take.", gt=0)
    event_ttl_seconds: float = _env("AGENTHALL_EVENT_TTL", 120.0, "How long a finished run's events can be read.", ge=1)

    # graphs and agents
    graphs: dict[str, str] = _env(
        "AGENTHALL_GRAPHS", {"agent": "tools_agent.agent:graph"}, "Graphs to serve: JSON, id to `module:name`."
    )
    default_model: str = _env("AGENTHALL_DEFAULT_MODEL", "openai:gpt-4o", "Model of an agent that names none.")

    mcp_connect_seconds: float = _env("AGENTHALL_MCP_CONNECT_TIMEOUT", 5.0, "Until an MCP server has answered.", gt=0)
    mcp_read_seconds: float = _env("AGENTHALL_MCP_READ_TIMEOUT", 60.0, "Longest call of an MCP tool.", gt=0)
    mcp_idle_seconds: float = _env("AGENTHALL_MCP_IDLE", 300.0, "An MCP session unused this long is closed.", gt=0)

    # agent sync
    agent_sync_scope: str = _env("AGENT_SYNC_SCOPE", "none", "`none`, `all`, or `org:<uuid>[,org:<uuid>]`.")
    agent_sync_cache_ttl: float = _env(
        "AGENT_SYNC_CACHE_TTL", 300.0, "Seconds that a synced agent counts as fresh.", ge=0
    )
    agent_sync_stale: float = _env(
        "AGENT_SYNC_STALE", 3600.0, "Seconds that a synced agent is served while the catalogue cannot be asked.", ge=0
    )
    agent_sync_every: float = _env("AGENT_SYNC_EVERY", 60.0, "Seconds between looks at the whole scope.", gt=0)
    agent_sync_write_back: bool = _env(
        "AGENT_SYNC_WRITE_BACK", True, "Write langgraph_assistant_id back to the catalogue."
    )
    mcp_tool_names: str = _env(
        "AGENT_SYNC_TOOL_NAMES",
        "tools",
        "What the catalogue's tool_name holds: `tools`, or `servers` (then all tools).",
    )

    # identity
    auth_mode: AuthMode = _env("AUTH_MODE", AuthMode.NONE, "`none` (loopback only) or `jwt`.")
    jwt_secret: SecretStr | None = _env("AUTH_JWT_SECRET", None, "HS256 secret, 32 bytes or more.")
    jwt_audience: str | None = _env("AUTH_JWT_AUDIENCE", None, "Required `aud` of a token.")
    jwt_issuer: str | None = _env("AUTH_JWT_ISSUER", None, "Required `iss` of a token.")
    jwt_organizations_claim: str = _env(
        "AUTH_ORGANIZATIONS_CLAIM", "organizations", "Dotted path of the claim that lists organization ids."
    )
    jwt_permissions_claim: str = _env(
        "AUTH_PERMISSIONS_CLAIM", "permissions", "Dotted path of the claim that lists permissions."
    )

    # logs
    log_level: str = _env("AGENTHALL_LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR.")
    log_format: LogFormat = _env(
        "AGENTHALL_LOG_FORMAT", LogFormat.AUTO, "`console`, `json`, or `auto` by the terminal."
    )

    @field_validator("mcp_tool_names")
    @classmethod
    def _known_tool_names(cls, value: str) -> str:
        if value not in {"tools", "servers"}:
            raise ValueError("must be `tools` or `servers`")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.auth_mode is AuthMode.JWT:
            if self.jwt_secret is None or len(self.jwt_secret.get_secret_value().encode()) < HS256_SECRET_BYTES:
                raise ValueError("AUTH_MODE=jwt needs AUTH_JWT_SECRET of at least 32 bytes")
            if self.jwt_organizations_claim.split(".")[0] == "user_metadata":
                raise ValueError("AUTH_ORGANIZATIONS_CLAIM: user_metadata can be edited by its user")
        elif self.host not in {"127.0.0.1", "localhost", "::1"}:
            raise ValueError(f"AUTH_MODE=none serves loopback only, not {self.host}; set AUTH_MODE=jwt")
        return self

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
        return self.direct_dsn if self.catalogue_database_url is None else self.catalogue_dsn

    @property
    def cache_ttl(self) -> timedelta:
        return timedelta(seconds=self.agent_sync_cache_ttl)


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, `overrides` (by field name) first. Raises Misconfigured naming each bad variable."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors())
        raise Misconfigured(problems) from None
    except SettingsError as error:  # a variable that should hold JSON; its text names the field
        raise Misconfigured(_unreadable(error)) from None


def _unreadable(error: SettingsError) -> str:
    named = [each.validation_alias for name, each in Settings.model_fields.items() if f'"{name}"' in str(error)]
    return f"{', '.join(map(str, named)) or 'A setting'}: not the JSON object that it should be"


def _problem(detail: Any) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
