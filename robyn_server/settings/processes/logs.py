"""Settings of logs."""

from __future__ import annotations

from enum import StrEnum

from robyn_server.settings.field import env
from robyn_server.settings.part import SettingsPart


class LogFormat(StrEnum):
    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class LogSettings(SettingsPart):
    log_level: str = env("AGENTHALL_LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR.")
    log_format: LogFormat = env(
        "AGENTHALL_LOG_FORMAT", LogFormat.AUTO, "`console`, `json`, or `auto`: `console` in a terminal, else `json`."
    )
