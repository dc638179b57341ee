"""Settings of the registry of instances."""

from __future__ import annotations

from uuid import UUID

from .field import env
from .part import SettingsPart


class RegistrySettings(SettingsPart):
    watch_keep_seconds: float = env(
        "AGENTHALL_WATCH_KEEP", 3600.0, "Seconds that events of instances are kept. A watch resumes from them.", ge=1
    )
    watch_keep_rows: int = env("AGENTHALL_WATCH_KEEP_ROWS", 100_000, "Largest number of these events.", ge=1)
    max_agent_types: int = env(
        "AGENTHALL_MAX_AGENT_TYPES",
        1000,
        "Types of agents (manifests) that one organization may create.",
        ge=1,
        le=2**31 - 1,
    )
    max_configurations: int = env(
        "AGENTHALL_MAX_CONFIGURATIONS", 1000, "Configurations of one organization.", ge=1, le=2**31 - 1
    )
    max_instances: int = env(
        "AGENTHALL_MAX_INSTANCES",
        100_000,
        "Instances of one organization that have not ended. Beyond these three the answer is 429.",
        ge=1,
        le=2**31 - 1,
    )
    health_check_seconds: float = env(
        "AGENTHALL_HEALTH_CHECK",
        10.0,
        "Seconds between two checks of an instance that registered with a health_check_url.",
        ge=1,
        le=3600,
    )
    keeper_id: UUID | None = env(
        "AGENTHALL_KEEPER_ID",
        None,
        "Identity under which a process holds leases. Unset: a new one at each start. Reuse it when you restart a process, and"
        " never for two processes at once. `serve` sets it.",
    )
