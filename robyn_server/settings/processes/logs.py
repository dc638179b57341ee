"""Settings of logs."""

from __future__ import annotations

from enum import StrEnum

from pydantic_settings import BaseSettings

from robyn_server.settings.field import env


class LogFormat(StrEnum):
    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class LogSettings(BaseSettings):
    log_level: str = env("AGENTHALL_LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR.")
    log_format: LogFormat = env(
        "AGENTHALL_LOG_FORMAT", LogFormat.AUTO, "`console`, `json`, or `auto`: `console` in a terminal, else `json`."
    )
