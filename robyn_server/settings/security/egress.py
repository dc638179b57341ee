"""Settings of egress: where the server connects to for its users."""

from __future__ import annotations

from pydantic import field_validator

from robyn_server.core.egress.allow_list import read_allow_list
from robyn_server.core.egress.policy import EgressLevel
from robyn_server.settings.field import env
from robyn_server.settings.part import SettingsPart


class EgressSettings(SettingsPart):
    egress_level: EgressLevel | None = env(
        "AGENTHALL_EGRESS",
        None,
        "Addresses that MCP servers of agents may have: `public`; `private` for those of private networks too; `loopback` for this"
        " machine too; `listed` for none but AGENTHALL_EGRESS_ALLOW. Unset: `loopback` with AUTH_MODE=none and no handlers, else `public`.",
    )
    egress_allow: str = env(
        "AGENTHALL_EGRESS_ALLOW",
        "",
        "Further hosts, addresses and networks, separated by commas, each with or without a port:"
        " `mcp.internal:8080,*.svc.cluster.local,10.0.5.0/24`.",
    )

    @field_validator("egress_allow")
    @classmethod
    def _readable(cls, value: str) -> str:
        read_allow_list(value)
        return value
