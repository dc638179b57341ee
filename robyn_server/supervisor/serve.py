"""`agenthall serve`: start the database, the demo and the processes of the server, and stop them again.

This process lives as long as the server, stays small, and has one thread. So a short-lived process checks the settings,
and another one prints the banner.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from robyn_server.core.errors import Misconfigured
from robyn_server.core.urls.dsn import normalise_dsn, without_password
from robyn_server.core.urls.hosts import local_url
from robyn_server.ports import free_port, hold_port
from robyn_server.projects import GRAPHS, PROJECT
from robyn_server.supervisor.postgres.server import EmbeddedPostgres
from robyn_server.terminal import has_colour

from . import demo as demo_module
from .address_file import RunningServer, published_address
from .child import ProgramChild, Stage
from .demo import load_demo
from .metrics_dir import MetricsDirectory
from .output.banner import HANDLERS, Banner
from .output.log import SupervisorLog
from .output.progress_line import progress_line
from .parent_death import death_signal
from .programs import KEEPER_ID, METRICS_PORT, SOCKETS_PORT, child_environment, make_children
from .proxy.front import Front, find_front
from .proxy.ports import INSIDE, Ports, hold_proxy_ports, hold_web_port
from .serve_options import Reloading, ServeOptions, read_number
from .supervisor import KILLED, Supervisor

_EXTRA_GRACE_SECONDS = 5.0
"""Time that a child has after its own drain before it is killed."""

_NO_DEMO = frozenset({PROJECT, "AGENT_SYNC_CATALOGUE", "CATALOGUE_DATABASE_URL"})
"""Variables of a project, or of a catalogue of the user's: the demo would only stand beside it."""

_PUBLISHED = (
    "AUTH_MODE",
    "AGENT_SYNC_SCOPE",
    "AGENT_SYNC_SOURCES",
    "AGENT_SYNC_CATALOGUE",
    "AGENT_SYNC_TEMPLATES",
    "AGENT_SYNC_WRITE_BACK",
    "AGENT_SYNC_WRITE_BACK_TO",
    "AGENTHALL_DEFAULT_MODEL",
    "AGENTHALL_EGRESS",
    "AGENTHALL_EGRESS_ALLOW",
    "AGENTHALL_GRAPHS",
    "AGENTHALL_AUTH",
    "AGENTHALL_HTTP_APP",
    "AGENTHALL_HTTP_APP_AUTH",
)
"""Variables that `doctor` takes from a running server. None of them is a secret."""

_AFTER_WEB = frozenset({Stage.DEMO, Stage.SOCKETS, Stage.WATCH})
"""Stages that start when web processes are ready, because they would slow down the start of what users wait for."""

_RELOADED = frozenset({Stage.WATCH, Stage.WEB, Stage.WORKER})
"""Stages whose processes have the code of graphs, or watch it."""

_LAST_PORT = 65535

_PLACEHOLDER_URL = "postgresql:///embedded"
"""Stands for the embedded database, which has no URL yet, while the settings are checked."""


def serve(options: ServeOptions) -> int:
    """Start everything, wait for a signal, stop everything. Return the exit code, which is 0 after a clean stop.

    If a setting is wrong, nothing is started or created: raises Misconfigured for a port or a number, and returns 2 for
    other settings, after the error was printed.
    """
    started_at = time.monotonic()
    log = SupervisorLog(options.log_format)
    grace = read_number(options.environment, "AGENTHALL_DRAIN_SECONDS", 10.0) + _EXTRA_GRACE_SECONDS
    database_url = options.environment.get("DATABASE_URL")
    front = find_front(options.host, options.environment)
    inside = options if front is None else _inside(front, options, options.port)
    if code := _check_settings(inside):
        return code
    database = None if database_url else EmbeddedPostgres(options.data_dir, environment=options.environment)
    with (
        hold_port(options.host, options.port) as public_socket,
        hold_web_port(public_socket, is_proxied=front is not None) as web_socket,
        _hold_sockets_port(inside, web_socket.getsockname()[1], log) as sockets_socket,
        MetricsDirectory() as metrics,
        Supervisor(log, grace=grace, on_child_exit=metrics.remove_gauges, after_web=_AFTER_WEB) as supervisor,
        ExitStack() as closing,
    ):
        web, sockets, public = (each.getsockname()[1] for each in (web_socket, sockets_socket, public_socket))
        ports = Ports(web, sockets, public)
        if front is not None:
            redirect_port = front.redirect_port(options.environment)
            ports = Ports(web, sockets, public, *hold_proxy_ports(closing, front.host, redirect_port))
            options = _inside(front, options, ports.public)
        try:
            with supervisor.interruptible():
                with progress_line() as on_progress:
                    url = database.start(on_progress) if database else normalise_dsn(database_url or "")
                demo = (
                    load_demo(database, log, ports.public, options.demo)
                    if database and not _NO_DEMO & options.environment.keys()
                    else None
                )
            children = make_children(options, url, ports, demo, metrics)
            if front is not None:
                children.append(_proxy_child(front, options, ports, log))
            text = _database_text(url, database)
            first_conversation = demo_module.FIRST_CONVERSATION if demo else {}
            _publish_address(closing, options, ports, children[0].program.environment, log)
            if options.reloading is not None:
                remake = partial(make_children, url=url, ports=ports, demo=demo, metrics=metrics)
                supervisor.on_reload = partial(_reload, options, options.reloading, remake, children, log)
            public_url = "" if front is None else front.url(ports.public)
            supervisor.on_ready = lambda: _start_banner(
                options, ports, text, children, started_at, first_conversation, public_url
            )
            return supervisor.run(children, running=[database] if database else [])
        except KeyboardInterrupt:
            return KILLED if supervisor.force_stop else 0
        finally:
            if database is not None:
                database.stop()


def _inside(front: Front, options: ServeOptions, port: int) -> ServeOptions:
    """Return the options of the processes behind the proxy on `port`."""
    reloading = options.reloading
    if reloading is not None:
        read = reloading.environment
        reloading = replace(reloading, environment=lambda: front.environment(read(), port))
    environment = front.environment(options.environment, port)
    return replace(options, host=INSIDE, environment=environment, reloading=reloading)


def _proxy_child(front: Front, options: ServeOptions, ports: Ports, log: SupervisorLog) -> ProgramChild:
    program = front.program(
        options.environment,
        ports,
        options.data_dir.expanduser().absolute() / "proxy",
        drain_seconds=read_number(options.environment, "AGENTHALL_DRAIN_SECONDS", 10.0),
        as_json=log.as_json,
    )
    return ProgramChild(program)


def _check_settings(options: ServeOptions) -> int:
    """Return 0, or the exit code of the process that checks the settings."""
    # A process of its own: the modules that validate the settings would add 16 MB to the 33 MB (RSS) of this one.
    url = options.environment.get("DATABASE_URL") or _PLACEHOLDER_URL
    user_set = {name: options.environment[name] for name in (SOCKETS_PORT, METRICS_PORT) if name in options.environment}
    environment = child_environment(options, url, Ports(options.port, 0, options.port), None) | user_set
    done = subprocess.run(  # noqa: S603 - our own program
        [*options.command, "check"],
        env=environment,
        check=False,
        start_new_session=True,  # Ctrl-C is for this process to handle
        preexec_fn=death_signal(signal.SIGKILL),
    )
    return done.returncode


def _publish_address(
    closing: ExitStack, options: ServeOptions, ports: Ports, environment: Mapping[str, str], log: SupervisorLog
) -> None:
    """Publish the address in the data directory until `closing` is closed.

    Without a writable directory, log that it is missing.
    """
    settings = {name: environment[name] for name in _PUBLISHED if name in environment}
    keys = sorted(name for name, value in environment.items() if name.endswith("_API_KEY") and value)
    try:
        server = RunningServer(local_url(options.host, ports.web), os.getpid(), settings, keys)
        closing.enter_context(published_address(options.data_dir, server))
    except OSError as error:
        log.write("`agenthall agents` needs --url: the data directory cannot be written", reason=error)


def _hold_sockets_port(options: ServeOptions, web: int, log: SupervisorLog) -> socket.socket:
    """Hold AGENTHALL_SOCKETS_PORT. Unset: the port after the web's, or a free one if that is taken, which is logged."""
    port = read_number(options.environment, SOCKETS_PORT, -1)
    if port < 0:
        wanted = min(web + 1, _LAST_PORT)
        held = hold_port(options.host, free_port(options.host, wanted))
        if (found := held.getsockname()[1]) != wanted and options.port:
            log.write(
                f"port {wanted} is taken, so WebSockets listen on port {found}; set {SOCKETS_PORT} where a proxy must find it"
            )
        return held
    return hold_port(options.host, int(port), setting=SOCKETS_PORT)


def _reload(
    options: ServeOptions,
    reloading: Reloading,
    remake: Callable[[ServeOptions], list[ProgramChild]],
    children: Sequence[ProgramChild],
    log: SupervisorLog,
) -> frozenset[Stage]:
    """Give the children the project's environment of now, and return the stages to restart.

    A wrong project changes nothing.
    """
    try:
        remade = remake(replace(options, environment=reloading.environment()))
    except Misconfigured as error:
        log.write(f"not reloaded: {error}")
        return frozenset()
    programs = {each.name: each.program for each in remade}
    for child in children:
        new, kept = programs.get(child.name, child.program), child.program.environment.get(KEEPER_ID)
        child.program = replace(new, environment={**new.environment, **({KEEPER_ID: kept} if kept else {})})
    return _RELOADED


def _auth_mode(environment: Mapping[str, str]) -> str:
    return (
        HANDLERS
        if environment.get("AGENTHALL_AUTH")
        else environment.get("AUTH_MODE", "none").strip().lower() or "none"
    )


def _database_text(url: str, database: EmbeddedPostgres | None) -> str:
    if database is None:
        return without_password(url)
    return f"embedded PostgreSQL {database.binaries.version} in {database.directory.root}, as {database.account.name}"


def _start_banner(
    options: ServeOptions,
    ports: Ports,
    database: str,
    children: Sequence[ProgramChild],
    started_at: float,
    first_conversation: Mapping[str, str],
    public_url: str,
) -> subprocess.Popen[str]:
    """Start the process that prints the banner."""
    sockets = local_url(options.host, ports.sockets).replace("http", "ws", 1) + "/ws"  # as in /info
    banner = Banner(
        url=local_url(options.host, ports.web),
        public_url=public_url,
        sockets=options.environment.get("AGENTHALL_SOCKETS_URL") or sockets,
        database=database,
        processes=[(child.name, child.pid or 0) for child in children],
        seconds=time.monotonic() - started_at,
        expects_agents=children[0].program.environment.get("AGENT_SYNC_SCOPE", "none") != "none",
        auth_mode=_auth_mode(options.environment),
        data_dir="" if options.environment.get("DATABASE_URL") else str(options.data_dir.expanduser().absolute()),
        project=options.environment.get(PROJECT, ""),
        graphs=sorted(json.loads(options.environment.get(GRAPHS, "{}"))) if PROJECT in options.environment else [],
        app=options.environment.get("AGENTHALL_HTTP_APP", ""),
        **first_conversation,
        as_json=options.log_format == "json",
        colour=has_colour(sys.stdout),
    )
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", f"{__package__}.output.banner"],
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509 - the supervisor has one thread
    )
    if process.stdin is not None:
        with process.stdin as pipe:  # the text fits into the pipe's buffer, so this does not wait
            pipe.write(banner.json())
    return process
