"""Every setting, its environment variable, its default and what it means. `docs/settings.md` is generated from here."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from .core.dsn import normalise_dsn
from .core.errors import Misconfigured

MEBIBYTE = 1024 * 1024
HS256_SECRET_BYTES = 32
"""RFC 7518, section 3.2: a key at least as long as the hash."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class AuthMode(StrEnum):
    NONE = "none"
    KEYS = "keys"
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
    catalogue_direct_url: SecretStr | None = _env(
        "CATALOGUE_DIRECT_URL", None, "The catalogue's database past a transaction pooler, for its change feed."
    )
    data_dir: Path = _env("AGENTHALL_DATA_DIR", Path(".agenthall"), "Where the embedded database lives.")
    pool_size: int = _env("AGENTHALL_POOL_SIZE", 8, "Connections of each pool in each process.", ge=1, le=200)

    # web
    host: str = _env("AGENTHALL_HOST", "127.0.0.1", "Address to listen on.")
    port: int = _env("AGENTHALL_PORT", 2024, "Port to listen on.", ge=0, le=65535)
    web_processes: int = _env("AGENTHALL_WEB_PROCESSES", 1, "Web processes of one `serve`.", ge=1, le=64)
    max_body_bytes: int = _env("AGENTHALL_MAX_BODY_BYTES", 4 * MEBIBYTE, "Largest request body.", ge=1024)
    max_streams: int = _env("AGENTHALL_MAX_STREAMS", 256, "Open streams of one web process; over it: 503.", ge=1)
    streams_per_principal: int | None = _env(
        "AGENTHALL_STREAMS_PER_PRINCIPAL",
        None,
        "Of these, streams of one principal; over it: 429. Unset: a quarter. With AUTH_MODE=none there is no such limit.",
        ge=1,
    )
    streams_recheck_seconds: float = _env(
        "AGENTHALL_STREAMS_RECHECK", 15.0, "Seconds between looks at an open stream's credentials.", gt=0
    )
    heartbeat_seconds: float = _env("AGENTHALL_HEARTBEAT", 5.0, "Seconds between heartbeats on a silent stream.", gt=0)
    stream_stall_seconds: float = _env(
        "AGENTHALL_STREAM_STALL", 30.0, "A reader that reads nothing this long is cut.", gt=0
    )
    drain_seconds: float = _env("AGENTHALL_DRAIN_SECONDS", 10.0, "Grace for requests and runs at a stop.", ge=0)
    share_port: bool = _env("AGENTHALL_SHARE_PORT", False, "Other web processes of the same server listen there too.")
    cpu_pinning: bool = _env("AGENTHALL_CPU_PINNING", True, "`serve` gives each web process one core of its own.")
    web_cpu: int | None = _env("AGENTHALL_WEB_CPU", None, "Pin the web process to this core.", ge=0)
    cors_origins: str = _env(
        "AGENTHALL_CORS_ORIGINS",
        "*",
        "Origins that a browser may call from, comma separated. With AUTH_MODE=none `*` means pages of this machine.",
    )

    # sockets
    sockets_port: int = _env("AGENTHALL_SOCKETS_PORT", 2025, "Port of the WebSockets; 0: a free one.", ge=0, le=65535)
    sockets_url: str | None = _env(
        "AGENTHALL_SOCKETS_URL",
        None,
        "Where clients find the WebSockets, for `/info`: `wss://…`. Unset: host and port.",
    )
    sockets_max: int = _env("AGENTHALL_SOCKETS_MAX", 20_000, "Open WebSockets; over it: closed with 4429.", ge=1)
    sockets_per_principal: int = _env(
        "AGENTHALL_SOCKETS_PER_PRINCIPAL", 10_000, "Of these, WebSockets of one principal.", ge=1
    )
    sockets_messages: float = _env(
        "AGENTHALL_SOCKETS_MESSAGES", 50.0, "Messages per second of one WebSocket; for a moment twice as many.", gt=0
    )
    sockets_registrations: int = _env(
        "AGENTHALL_SOCKETS_REGISTRATIONS", 64, "Registrations that one WebSocket may hold.", ge=1
    )
    sockets_grace_seconds: float = _env(
        "AGENTHALL_SOCKETS_GRACE", 10.0, "Seconds that a dropped WebSocket's instance has to come back.", ge=0
    )
    sockets_recheck_seconds: float = _env(
        "AGENTHALL_SOCKETS_RECHECK", 15.0, "Seconds between looks at an open WebSocket's credentials.", gt=0
    )

    # registry
    watch_keep_seconds: float = _env(
        "AGENTHALL_WATCH_KEEP", 3600.0, "Seconds that events of instances are kept, to resume a watch from.", ge=1
    )
    watch_keep_rows: int = _env("AGENTHALL_WATCH_KEEP_ROWS", 100_000, "Of these events, at most so many.", ge=1)
    keeper_id: UUID | None = _env(
        "AGENTHALL_KEEPER_ID",
        None,
        "Under which a process keeps leases: those of instances, or of the runs that it executes; unset: a new one at each start. Who takes"
        " the place of a process that ended may have its id, and goes on at once; never two at once: `serve` sees to it for its children.",
    )

    # worker
    worker_processes: int = _env("AGENTHALL_WORKER_PROCESSES", 1, "Workers of one `serve`.", ge=1, le=64)
    worker_slots: int = _env("AGENTHALL_WORKER_SLOTS", 16, "Runs that one worker executes at once.", ge=1, le=1000)
    run_lease_seconds: float = _env("AGENTHALL_RUN_LEASE", 15.0, "A worker silent this long loses its runs.", gt=0.5)
    run_max_attempts: int = _env("AGENTHALL_RUN_MAX_ATTEMPTS", 3, "Attempts before a lost run is an error.", ge=1)
    run_timeout_seconds: float = _env("AGENTHALL_RUN_TIMEOUT", 86400.0, "Longest time one run may take.", gt=0)
    event_ttl_seconds: float = _env("AGENTHALL_EVENT_TTL", 120.0, "How long a finished run's events can be read.", ge=1)

    metrics_host: str = _env("AGENTHALL_METRICS_HOST", "127.0.0.1", "Address of AGENTHALL_METRICS_PORT.")
    metrics_port: int | None = _env(
        "AGENTHALL_METRICS_PORT",
        None,
        "A worker started alone answers scrapes here, whoever asks; under `serve` the web processes answer for all.",
        ge=1,
        le=65535,
    )

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
    agent_sync_sources: str = _env(
        "AGENT_SYNC_SOURCES",
        "catalogue",
        "Where agents come from: `catalogue`, `configurations` (the registry's), or `catalogue,configurations`.",
    )
    agent_sync_cache_ttl: float = _env(
        "AGENT_SYNC_CACHE_TTL", 300.0, "Seconds that a synced agent counts as fresh.", ge=0
    )
    agent_sync_stale: float = _env(
        "AGENT_SYNC_STALE", 3600.0, "Seconds that a synced agent is served while the catalogue cannot be asked.", ge=0
    )
    agent_sync_every: float = _env("AGENT_SYNC_EVERY", 60.0, "Seconds between looks at the whole scope.", gt=0)
    agent_sync_poll: float = _env(
        "AGENT_SYNC_POLL", 2.0, "Seconds between looks for edits by updated_at, where no feed tells them.", gt=0
    )
    agent_sync_catalogue: str = _env(
        "AGENT_SYNC_CATALOGUE", "tables", "`tables` (five in schema public), or a view of yours: `schema.view`."
    )
    agent_sync_write_back_to: str = _env(
        "AGENT_SYNC_WRITE_BACK_TO",
        "public.agents.langgraph_assistant_id",
        "Column that is written back, by its table's `id`: `schema.table.column`.",
    )
    agent_sync_write_back: bool = _env(
        "AGENT_SYNC_WRITE_BACK", True, "Write langgraph_assistant_id back to the catalogue."
    )
    agent_sync_templates: str = _env(
        "AGENT_SYNC_TEMPLATES",
        "off",
        "`on`: an agent that is not `is_global` is a template, of which each user has a private copy.",
    )
    mcp_tool_names: str = _env(
        "AGENT_SYNC_TOOL_NAMES",
        "tools",
        "What the catalogue's tool_name holds: `tools`, or `servers` (then all tools).",
    )

    # identity
    auth_mode: AuthMode = _env(
        "AUTH_MODE", AuthMode.NONE, "`none` (loopback only), `keys` (API keys), or `jwt` (tokens, and API keys)."
    )
    jwt_secret: SecretStr | None = _env("AUTH_JWT_SECRET", None, "HS256 secret, 32 bytes or more.")
    jwks_url: str | None = _env(
        "AUTH_JWKS_URL", None, "Public keys that sign tokens with RS256, ES256 or EdDSA; https, or http on loopback."
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
        "AUTH_MEMBERSHIP_QUERY", None, "SQL on the catalogue: `$1` = `sub` to organization ids, instead of the claim."
    )

    dev_tenant: UUID | None = _env(
        "AGENTHALL_DEV_TENANT", None, "AUTH_MODE=none: the tenant of whoever names none when registering an agent."
    )
    dev_key: SecretStr | None = _env(
        "AGENTHALL_DEV_KEY", None, "AUTH_MODE=none: the API key that a WebSocket's `auth` is checked against."
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
        """Whoever can change the answer on its way can sign any token. An issuer signs for others, too (RFC 8725, section 3.9)."""
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
    def sockets_address(self) -> str | None:
        """Where clients find the WebSockets; None where only the sockets process knows its port."""
        if self.sockets_url is not None or self.sockets_port == 0:
            return self.sockets_url
        return f"ws://{reachable(self.host)}:{self.sockets_port}/ws"

    @property
    def cache_ttl(self) -> timedelta:
        return timedelta(seconds=self.agent_sync_cache_ttl)


def reachable(host: str) -> str:
    """`host` as it stands in a URL for clients on this machine."""
    named = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{named}]" if ":" in named else named


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
