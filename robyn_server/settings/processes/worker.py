"""Settings of the workers."""

from __future__ import annotations

from enum import StrEnum

from robyn_server.settings.field import MEBIBYTE, env
from robyn_server.settings.part import SettingsPart


class WorkerIsolation(StrEnum):
    NONE = "none"
    TENANT = "tenant"
    RUN = "run"


class WorkerSettings(SettingsPart):
    worker_processes: int = env("AGENTHALL_WORKER_PROCESSES", 1, "Workers of one `serve`.", ge=1, le=64)
    worker_slots: int = env(
        "AGENTHALL_WORKER_SLOTS", 16, "Runs that one worker executes at the same time.", ge=1, le=1000
    )
    worker_instance_runs: int = env(
        "AGENTHALL_WORKER_INSTANCE_RUNS",
        1000,
        "Runs of agents elsewhere that one worker has beside those in its slots. They only wait for instances.",
        ge=1,
        le=10_000,
    )
    worker_isolation: WorkerIsolation = env(
        "AGENTHALL_WORKER_ISOLATION",
        WorkerIsolation.NONE,
        "`run`: each run has a process of its own, which starts for it and ends with it. `tenant`: the runs of an organization,"
        " or of an owner without one, share a process. `none`: runs share the worker, but for those that have lost two.",
    )
    worker_parent: int | None = env(
        "AGENTHALL_WORKER_PARENT",
        None,
        "Process id of the worker that started this one for a run. Workers set it for the processes of runs.",
        ge=1,
    )
    run_lease_seconds: float = env(
        "AGENTHALL_RUN_LEASE", 15.0, "Seconds after which a silent worker loses its runs.", gt=0.5
    )
    run_max_attempts: int = env(
        "AGENTHALL_RUN_MAX_ATTEMPTS", 3, "Attempts of a run before it ends with an error.", ge=1
    )
    run_timeout_seconds: float = env("AGENTHALL_RUN_TIMEOUT", 86400.0, "Seconds that one run may take.", gt=0)
    agent_depth: int = env(
        "AGENTHALL_AGENT_DEPTH", 4, "Agents that may call one another as tools, one within the other.", ge=1, le=16
    )
    loop_stall_seconds: float = env(
        "AGENTHALL_LOOP_STALL",
        60.0,
        "Seconds that a graph may hold its worker's event loop. Then the worker is replaced, and the run loses an attempt.",
        ge=2,
    )
    event_ttl_seconds: float = env(
        "AGENTHALL_EVENT_TTL",
        120.0,
        "Seconds that a finished run's events can be read. They are kept for 150 s at least, for the history of metrics.",
        ge=1,
    )

    max_state_bytes: int = env(
        "AGENTHALL_MAX_STATE_BYTES",
        8 * MEBIBYTE,
        "Largest state of a thread. A run that makes it larger ends with an error.",
        ge=65536,
    )
