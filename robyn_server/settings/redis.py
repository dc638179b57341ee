"""Settings of Redis."""

from __future__ import annotations

from pydantic import SecretStr, model_validator

from robyn_server.core.runs import EventTransport
from robyn_server.core.urls.redis_url import check_redis_url

from .field import env
from .part import SettingsPart


class RedisSettings(SettingsPart):
    redis_url: SecretStr | None = env(
        "REDIS_URL",
        None,
        "A Redis 6.2 or Valkey server for the events of runs: `redis://`, `rediss://` (TLS) or `unix://`. Unset: PostgreSQL has them.",
    )
    event_transport: EventTransport | None = env(
        "AGENTHALL_EVENT_TRANSPORT",
        None,
        "Where new runs have their events: `postgres` or `redis`. Unset: `redis` with REDIS_URL. Earlier runs keep theirs.",
    )
    redis_prefix: str = env(
        "AGENTHALL_REDIS_PREFIX",
        "agenthall:",
        "Beginning of every key and channel in Redis, the same for all processes of one database.",
        pattern=r"^[A-Za-z0-9_.:/-]{1,64}$",
    )
    redis_seconds: float = env(
        "AGENTHALL_REDIS_TIMEOUT", 2.0, "Seconds for a connection to Redis, and for an answer of it.", gt=0, le=60
    )
    redis_connections: int = env("AGENTHALL_REDIS_CONNECTIONS", 8, "Connections of one process to Redis.", ge=3, le=200)
    redis_max_events: int = env(
        "AGENTHALL_REDIS_MAX_EVENTS",
        100_000,
        "Events of one run that Redis keeps; of more, the oldest are deleted. 0: any number.",
        ge=0,
    )

    @model_validator(mode="after")
    def _has_redis(self) -> RedisSettings:
        if self.event_transport is EventTransport.REDIS and self.redis_url is None:
            raise ValueError("AGENTHALL_EVENT_TRANSPORT=redis needs REDIS_URL")
        return self

    @property
    def checked_redis_url(self) -> str | None:
        """Raises Misconfigured for a URL that cannot be used."""
        return None if self.redis_url is None else check_redis_url(self.redis_url.get_secret_value())

    @property
    def uses_redis_for_new_runs(self) -> bool:
        return self.redis_url is not None and self.event_transport is not EventTransport.POSTGRES
