"""Settings of threads and the store."""

from __future__ import annotations

from robyn_server.core.ttl import LONGEST_TTL, PruneStrategy

from .field import env
from .part import SettingsPart


class ThreadSettings(SettingsPart):
    thread_ttl: float | None = env(
        "AGENTHALL_THREAD_TTL",
        None,
        "Minutes that a thread lives which names no `ttl`, counted from its last run or update. Unset: for ever.",
        gt=0,
        le=LONGEST_TTL.total_seconds() / 60,
    )
    thread_ttl_strategy: PruneStrategy = env(
        "AGENTHALL_THREAD_TTL_STRATEGY",
        PruneStrategy.DELETE,
        "The end of such a thread: `delete`, or `keep_latest`, which deletes all its states but the latest.",
    )
    thread_max_idle: float | None = env(
        "AGENTHALL_THREAD_MAX_IDLE",
        None,
        "Minutes without a run or an update after which any thread is deleted. Unset: none is.",
        gt=0,
        le=LONGEST_TTL.total_seconds() / 60,
    )
    keep_checkpoints: int | None = env(
        "AGENTHALL_KEEP_CHECKPOINTS",
        None,
        "Latest checkpoints of a thread that are kept, the same for all workers. A run of 10 steps writes 12. Unset: all.",
        ge=1,
        le=2**31 - 1,
    )
    thread_sweep_minutes: float = env(
        "AGENTHALL_THREAD_SWEEP",
        5.0,
        "Minutes between two looks of a worker for threads that end, or have too many checkpoints.",
        gt=0,
    )
    thread_sweep_limit: int | None = env(
        "AGENTHALL_THREAD_SWEEP_LIMIT",
        None,
        "Most threads that one look ends because of their ttl. Unset: all that are due.",
        ge=1,
    )

    metrics_host: str = env("AGENTHALL_METRICS_HOST", "127.0.0.1", "Address that AGENTHALL_METRICS_PORT listens on.")
    metrics_port: int | None = env(
        "AGENTHALL_METRICS_PORT",
        None,
        "Port on which a worker that was started alone answers scrapes, without credentials. Unused under `serve`.",
        ge=1,
        le=65535,
    )
