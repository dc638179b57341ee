"""The processes that `serve` starts, with their arguments and environments."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from uuid import uuid4

from . import demo as demo_module
from .child import Program, ProgramChild, Stage
from .demo import Demo
from .metrics_dir import MetricsDirectory
from .proxy.ports import Ports
from .serve_options import Reloading, ServeOptions, read_count

SOCKETS_PORT = "AGENTHALL_SOCKETS_PORT"
METRICS_PORT = "AGENTHALL_METRICS_PORT"
"""For a worker that runs alone. Under `serve` there may be several, and web processes answer scrapes for all."""

KEEPER_ID = "AGENTHALL_KEEPER_ID"
"""The same for each start of a child, so that a restarted child renews the leases of its predecessor at once."""


def make_children(
    options: ServeOptions, url: str, ports: Ports, demo: Demo | None, metrics: MetricsDirectory
) -> list[ProgramChild]:
    environment = child_environment(options, url, ports, demo)
    counts = {
        "web": read_count(options.environment, "AGENTHALL_WEB_PROCESSES"),
        "worker": read_count(options.environment, "AGENTHALL_WORKER_PROCESSES"),
        "sockets": 1,
    }
    programs = [
        Program(
            name=name,
            argv=(*options.command, kind),
            stage=Stage[kind.upper()],
            environment=environment
            | metrics.environment(name)
            | {KEEPER_ID: str(uuid4())}
            | (_cpu_setting(options.environment, number) if kind == "web" else {}),
        )
        for kind, count in counts.items()
        for number, name in enumerate(_names(kind, count))
    ]
    programs += demo.programs(options.environment) if demo else []
    if options.reloading is not None:
        programs.append(_watch_program(options, options.reloading))
    return [ProgramChild(program) for program in programs]


def _watch_program(options: ServeOptions, reloading: Reloading) -> Program:
    watched = [str(path) for path in reloading.watched()]
    return Program(
        name="watch",
        argv=(sys.executable, "-m", f"{__package__}.watch_files", options.log_format, *watched),
        stage=Stage.WATCH,
        environment=options.environment,
    )


def _cpu_setting(environment: Mapping[str, str], number: int) -> dict[str, str]:
    """Pin each web process to one core: its threads pass every request to each other, which is 1.5 to 2 times as fast
    there."""
    is_on = environment.get("AGENTHALL_CPU_PINNING", "true").lower() not in {"0", "false", "no", "off"}
    if not is_on or "AGENTHALL_WEB_CPU" in environment or not hasattr(os, "sched_getaffinity"):
        return {}
    cores = sorted(os.sched_getaffinity(0))
    return {"AGENTHALL_WEB_CPU": str(cores[number % len(cores)])} if len(cores) > 1 else {}


def _names(kind: str, count: int) -> list[str]:
    return [kind] if count == 1 else [f"{kind}-{number}" for number in range(1, count + 1)]


def child_environment(options: ServeOptions, url: str, ports: Ports, demo: Demo | None) -> dict[str, str]:
    # The database's URL holds a password. It is never an argument, because every user of the machine can read those.
    dropped = {METRICS_PORT}
    if not options.environment.get("DATABASE_URL"):
        dropped.add("DATABASE_DIRECT_URL")  # it belongs to DATABASE_URL, and would lead to another database
    return {
        **(demo_module.ENVIRONMENT if demo else {}),
        **(
            demo_module.DEVELOPMENT_CREDENTIALS
            if demo and options.environment.get("AUTH_MODE", "none") == "none"
            else {}
        ),
        **{name: value for name, value in options.environment.items() if name not in dropped},
        "DATABASE_URL": url,
        "AGENTHALL_HOST": options.host,
        "AGENTHALL_PORT": str(ports.web),
        SOCKETS_PORT: str(ports.sockets),
        "AGENTHALL_SHARE_PORT": "true",  # this process holds the port, and the children listen on it
        "AGENTHALL_DATA_DIR": str(options.data_dir.expanduser().absolute()),
        "AGENTHALL_LOG_FORMAT": options.log_format,
    }
