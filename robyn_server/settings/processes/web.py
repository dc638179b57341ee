"""Settings of the web processes."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import field_validator

from robyn_server.settings.field import MEBIBYTE, env
from robyn_server.settings.part import SettingsPart


class WebSettings(SettingsPart):
    host: str = env("AGENTHALL_HOST", "127.0.0.1", "Address to listen on.")
    port: int = env("AGENTHALL_PORT", 2024, "Port to listen on.", ge=0, le=65535)
    web_processes: int = env("AGENTHALL_WEB_PROCESSES", 1, "Web processes of one `serve`.", ge=1, le=64)
    max_body_bytes: int = env("AGENTHALL_MAX_BODY_BYTES", 4 * MEBIBYTE, "Largest request body.", ge=1024)
    max_body_values: int = env(
        "AGENTHALL_MAX_BODY_VALUES", 150_000, "Most elements and members of a request body, at any depth.", ge=100
    )
    max_answer_bytes: int = env(
        "AGENTHALL_MAX_ANSWER_BYTES",
        16 * MEBIBYTE,
        "Largest answer with a list: of assistants, threads, states, runs, and what else is listed. Beyond it the answer is 413.",
        ge=65536,
    )
    request_seconds: float = env(
        "AGENTHALL_REQUEST_TIMEOUT",
        8.0,
        "Seconds that a request may take to be answered, or a stream to begin. Beyond it the answer is 503.",
        gt=0,
    )
    max_streams: int = env(
        "AGENTHALL_MAX_STREAMS", 256, "Open streams of one web process. Beyond it the answer is 503.", ge=1
    )
    streams_per_principal: int | None = env(
        "AGENTHALL_STREAMS_PER_PRINCIPAL",
        None,
        "Of these, streams of one principal. Beyond it the answer is 429. Unset: a quarter. No limit with AUTH_MODE=none and no handlers.",
        ge=1,
    )
    requests_per_principal: int | None = env(
        "AGENTHALL_REQUESTS_PER_PRINCIPAL",
        None,
        "Requests of one principal in a minute, of each web process. Beyond it the answer is 429. Unset: any number.",
        ge=1,
    )
    requests_per_organization: int | None = env(
        "AGENTHALL_REQUESTS_PER_ORGANIZATION",
        None,
        "Requests of the members of one organization in a minute, of each web process. Unset: any number.",
        ge=1,
    )
    grafana_url: str | None = env(
        "AGENTHALL_GRAFANA_URL",
        None,
        "URL of the Grafana in which operators have more plots, for a link. http or https.",
    )
    streams_recheck_seconds: float = env(
        "AGENTHALL_STREAMS_RECHECK", 15.0, "Seconds between checks of an open stream's credentials.", gt=0
    )
    heartbeat_seconds: float = env("AGENTHALL_HEARTBEAT", 5.0, "Seconds between heartbeats on a silent stream.", gt=0)
    stream_stall_seconds: float = env(
        "AGENTHALL_STREAM_STALL", 30.0, "Seconds after which a reader that does not read is disconnected.", gt=0
    )
    drain_seconds: float = env(
        "AGENTHALL_DRAIN_SECONDS", 10.0, "Seconds that requests and runs may take to finish at a stop.", ge=0
    )
    share_port: bool = env("AGENTHALL_SHARE_PORT", False, "Share the port with other web processes. `serve` sets it.")
    cpu_pinning: bool = env("AGENTHALL_CPU_PINNING", True, "`serve` pins each web process to its own core.")
    web_cpu: int | None = env("AGENTHALL_WEB_CPU", None, "Pin the web process to this core.", ge=0)
    cors_origins: str = env(
        "AGENTHALL_CORS_ORIGINS",
        "*",
        "Origins that a browser may call from, separated by commas. With AUTH_MODE=none, `*` means pages of this machine, "
        "and a `Host` may have the name of a listed origin.",
    )

    @field_validator("grafana_url")
    @classmethod
    def _is_link(cls, value: str | None) -> str | None:
        if value is not None and not (urlsplit(value).scheme in {"http", "https"} and urlsplit(value).hostname):
            raise ValueError("must be an http or https URL, such as https://grafana.example.com/d/agenthall")
        return value
