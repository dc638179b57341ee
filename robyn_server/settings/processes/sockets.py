"""Settings of the sockets process."""

from __future__ import annotations

from robyn_server.settings.field import env
from robyn_server.settings.part import SettingsPart


class SocketSettings(SettingsPart):
    sockets_port: int = env(
        "AGENTHALL_SOCKETS_PORT",
        2025,
        "Port of the WebSockets. 0 picks a free one. Under `serve`, unset: the web's port + 1, or a free one.",
        ge=0,
        le=65535,
    )
    sockets_url: str | None = env(
        "AGENTHALL_SOCKETS_URL",
        None,
        "Address of the WebSockets in `/info`: `wss://…`. Unset: host and port.",
    )
    sockets_max: int = env(
        "AGENTHALL_SOCKETS_MAX", 20_000, "Open WebSockets. Beyond it they are closed with 4429.", ge=1
    )
    sockets_per_principal: int = env(
        "AGENTHALL_SOCKETS_PER_PRINCIPAL", 10_000, "Of these, WebSockets of one principal.", ge=1
    )
    sockets_messages: float = env(
        "AGENTHALL_SOCKETS_MESSAGES", 50.0, "Messages per second of one WebSocket. Twice as many for a moment.", gt=0
    )
    sockets_registrations: int = env("AGENTHALL_SOCKETS_REGISTRATIONS", 64, "Registrations of one WebSocket.", ge=1)
    sockets_grace_seconds: float = env(
        "AGENTHALL_SOCKETS_GRACE", 10.0, "Seconds that an instance has to come back after its WebSocket broke.", ge=0
    )
    sockets_recheck_seconds: float = env(
        "AGENTHALL_SOCKETS_RECHECK", 15.0, "Seconds between checks of an open WebSocket's credentials.", gt=0
    )
