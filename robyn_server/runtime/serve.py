"""`agenthall serve`: database, demo and children put together, and taken down again.

Settings are checked by a short-lived process, before anything is started or made; this one reads the few it needs and stays small.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from robyn_server.core.dsn import normalise_dsn, without_password
from robyn_server.core.errors import Misconfigured

from . import demo as demo_module
from .child import Program, ProgramChild, Stage
from .demo import Demo, load_demo
from .embedded_postgres import EmbeddedPostgres
from .greeting import Facts
from .journal import Journal
from .lifeline import death_signal
from .metrics_folder import MetricsFolder
from .port import free_port, hold_port
from .serving_address import Serving, announced, http_address
from .supervisor import KILLED, Supervisor

_LEAVE_SECONDS = 5.0
"""What a child gets on top of its own drain before it is killed."""

_SOCKETS_PORT = "AGENTHALL_SOCKETS_PORT"
_METRICS_PORT = "AGENTHALL_METRICS_PORT"
"""For workers on their own: of ours there may be several, and the webs answer scrapes for all."""

_KEEPER = "AGENTHALL_KEEPER_ID"
"""One for each child, however often it is started: who comes after a dead one says at once that it is back."""

_LATE = frozenset({Stage.DEMO, Stage.SOCKETS})
"""What starts once the web answers: it would only take the cores away from what people wait for."""

_LAST_PORT = 65535

_LATER = "postgresql:///embedded"
"""What the check of the settings is told of a database that has no URL yet."""

COMMAND = (sys.executable, "-m", "robyn_server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serve:
    """What was asked for. `command` runs a child when its name is added, and with `check` looks at the settings, ending with 2 when
    they are wrong; `demo` is the demo's folder."""

    host: str = "127.0.0.1"
    port: int = 2024
    data_dir: Path = Path(".agenthall")
    log_format: str = "auto"
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    command: tuple[str, ...] = COMMAND
    demo: Path | None = None


@dataclass(frozen=True, slots=True)
class _Ports:
    web: int
    sockets: int


def serve(asked: Serve) -> int:
    """Start everything, wait for a signal, stop everything. The exit code: 0 after a clean stop.

    Before anything was started or made: raises Misconfigured when the port or a number is wrong, and returns 2 when another setting
    is, which has been said then.
    """
    began = time.monotonic()
    journal = Journal(asked.log_format)
    grace = _number(asked.environment, "AGENTHALL_DRAIN_SECONDS", 10.0) + _LEAVE_SECONDS
    given = asked.environment.get("DATABASE_URL")
    if code := _check_settings(asked):
        return code
    database = None if given else EmbeddedPostgres(asked.data_dir, environment=asked.environment)
    with (
        hold_port(asked.host, asked.port) as held,
        _hold_sockets_port(asked, held.getsockname()[1]) as held_for_sockets,
        MetricsFolder() as metrics,
        Supervisor(journal, grace=grace, on_death=metrics.forget, late=_LATE) as supervisor,
        ExitStack() as announcing,
    ):
        try:
            with supervisor.interruptible():
                url = database.start() if database else normalise_dsn(given or "")
                demo = load_demo(database, journal, asked.demo) if database else None
            ports = _Ports(held.getsockname()[1], held_for_sockets.getsockname()[1])
            children = _children(asked, url, ports, demo, metrics)
            where = _database_text(url, database)
            first = demo_module.FIRST if demo else {}
            _announce(announcing, asked, ports, journal)
            supervisor.on_ready = lambda: _greet(asked, ports, where, children, began, first)
            return supervisor.run(children, running=[database] if database else [])
        except KeyboardInterrupt:
            return KILLED if supervisor.hurried else 0
        finally:
            if database is not None:
                database.stop()


def _check_settings(asked: Serve) -> int:
    """0, or the exit code of the process that looked at them. All settings cost 20 MB and a third of a second to read."""
    url = asked.environment.get("DATABASE_URL") or _LATER
    as_given = {name: asked.environment[name] for name in (_SOCKETS_PORT, _METRICS_PORT) if name in asked.environment}
    environment = _environment(asked, url, _Ports(asked.port, 0), None) | as_given
    looked = subprocess.run(  # noqa: S603 - our own program
        [*asked.command, "check"],
        env=environment,
        check=False,
        start_new_session=True,  # Ctrl-C is ours to hear
        preexec_fn=death_signal(signal.SIGKILL),
    )
    return looked.returncode


def _announce(announcing: ExitStack, asked: Serve, ports: _Ports, journal: Journal) -> None:
    """Other terminals find us until `announcing` is closed. They do without it where the directory cannot be written."""
    try:
        announcing.enter_context(announced(asked.data_dir, Serving(http_address(asked.host, ports.web), os.getpid())))
    except OSError as error:
        journal.note("`agenthall agents` needs --url: the data directory cannot be written", reason=error)


def _hold_sockets_port(asked: Serve, web: int) -> socket.socket:
    """AGENTHALL_SOCKETS_PORT; unset: the port after the web's, or a free one where that is taken."""
    given = _number(asked.environment, _SOCKETS_PORT, -1)
    if given < 0:
        return hold_port(asked.host, free_port(asked.host, min(web + 1, _LAST_PORT)))
    return hold_port(asked.host, int(given), "choose another with AGENTHALL_SOCKETS_PORT (0 picks a free one)")


def _children(asked: Serve, url: str, ports: _Ports, demo: Demo | None, metrics: MetricsFolder) -> list[ProgramChild]:
    environment = _environment(asked, url, ports, demo)
    counts = {
        "web": _count(asked.environment, "AGENTHALL_WEB_PROCESSES"),
        "worker": _count(asked.environment, "AGENTHALL_WORKER_PROCESSES"),
        "sockets": 1,
    }
    programs = [
        Program(
            name=name,
            argv=(*asked.command, kind),
            stage=Stage[kind.upper()],
            environment=environment
            | metrics.environment(name)
            | {_KEEPER: str(uuid4())}
            | (_core(asked.environment, number) if kind == "web" else {}),
        )
        for kind, count in counts.items()
        for number, name in enumerate(_names(kind, count))
    ]
    programs += demo.programs(asked.environment) if demo else []
    return [ProgramChild(program) for program in programs]


def _core(environment: Mapping[str, str], number: int) -> dict[str, str]:
    """The core of a web process: its threads hand every request to and fro, and do it 1.5 to 2 times as fast on one core."""
    wanted = environment.get("AGENTHALL_CPU_PINNING", "true").lower() not in {"0", "false", "no", "off"}
    if not wanted or "AGENTHALL_WEB_CPU" in environment or not hasattr(os, "sched_getaffinity"):
        return {}
    cores = sorted(os.sched_getaffinity(0))
    return {"AGENTHALL_WEB_CPU": str(cores[number % len(cores)])} if len(cores) > 1 else {}


def _names(kind: str, count: int) -> list[str]:
    return [kind] if count == 1 else [f"{kind}-{number}" for number in range(1, count + 1)]


def _environment(asked: Serve, url: str, ports: _Ports, demo: Demo | None) -> dict[str, str]:
    """The database's URL holds a password, and is never an argument: those can be read by everybody."""
    return {
        **(demo_module.ENVIRONMENT if demo else {}),
        **(demo_module.REGISTRY if demo and asked.environment.get("AUTH_MODE", "none") == "none" else {}),
        **{name: value for name, value in asked.environment.items() if name != _METRICS_PORT},
        "DATABASE_URL": url,
        "AGENTHALL_HOST": asked.host,
        "AGENTHALL_PORT": str(ports.web),
        _SOCKETS_PORT: str(ports.sockets),
        "AGENTHALL_SHARE_PORT": "true",  # held by us, and listened on by the children
        "AGENTHALL_DATA_DIR": str(asked.data_dir.expanduser().absolute()),
        "AGENTHALL_LOG_FORMAT": asked.log_format,
    }


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    """A number from the environment. Its limits are the settings' business; the children check them."""
    try:
        return float(environment.get(name) or default)
    except ValueError:
        raise Misconfigured(f"{name}: {environment[name]!r} is not a number", field=name) from None


def _count(environment: Mapping[str, str], name: str) -> int:
    number = _number(environment, name, 1)
    if number < 1 or not number.is_integer():
        raise Misconfigured(f"{name}: {environment[name]!r} is not a number of processes", field=name)
    return int(number)


def _database_text(url: str, database: EmbeddedPostgres | None) -> str:
    if database is None:
        return without_password(url)
    return f"embedded PostgreSQL {database.binaries.version} in {database.directory.root}, as {database.account.name}"


def _greet(
    asked: Serve,
    ports: _Ports,
    database: str,
    children: Sequence[ProgramChild],
    began: float,
    first: Mapping[str, str],
) -> subprocess.Popen[str]:
    """Start the process that prints the greeting."""
    sockets = http_address(asked.host, ports.sockets).replace("http", "ws", 1)
    facts = Facts(
        url=http_address(asked.host, ports.web),
        sockets=asked.environment.get("AGENTHALL_SOCKETS_URL") or sockets,
        database=database,
        processes=[(child.name, child.pid or 0) for child in children],
        seconds=time.monotonic() - began,
        expects_agents=children[0].program.environment.get("AGENT_SYNC_SCOPE", "none") != "none",
        **first,
        as_json=asked.log_format == "json",
        colour=sys.stdout.isatty() and "NO_COLOR" not in asked.environment,
    )
    greeter = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", f"{__package__}.greeting"],
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509 - the supervisor has one thread
    )
    if greeter.stdin is not None:
        with greeter.stdin as pipe:  # smaller than the pipe's buffer: this does not wait
            pipe.write(facts.json())
    return greeter
