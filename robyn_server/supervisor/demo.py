"""The demo: a catalogue in the embedded database, and the two MCP servers that its agents use.

It is loaded only into a database without `public.agents`, so that a user's own catalogue is never touched. A comment on
the table, set in the same transaction, marks the demo's catalogue. Its rows hold the servers' URLs, so the ports are
stored and kept while they are free.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from robyn_server.core.errors import Misconfigured, Unavailable
from robyn_server.files import CATALOGUE_FEED, packaged
from robyn_server.ports import free_port, is_free
from robyn_server.supervisor.postgres.server import EmbeddedPostgres

from .child import Program, Stage
from .output.log import SupervisorLog

HOST = "127.0.0.1"
_OFFSETS = {"legal": 2, "documents": 3}
"""Servers and their ports, counted from the web server's and used if they are free.

The port after the web's is for WebSockets.
"""

_TOOLS = {"legal": "search_law", "documents": "search_docs"}
"""A tool of each server, by which its URL is found in the catalogue."""

ENVIRONMENT = {"AGENT_SYNC_SCOPE": "all", "AGENTHALL_DEFAULT_MODEL": "offline:demo", "AGENTHALL_EGRESS": "loopback"}
"""Environment of the server's processes with the demo, whose MCP servers are on this machine.

The user's own variables take precedence.
"""

DEVELOPMENT_CREDENTIALS = {
    "AGENTHALL_DEV_TENANT": "00000000-0000-0000-0000-000000000001",
    "AGENTHALL_DEV_KEY": "dev-key",
}
"""With AUTH_MODE=none also: the organization of instances that name none, and their key."""

FIRST_CONVERSATION = {"agent": "Legal Researcher", "question": "What does the law say about rent?"}
"""The conversation in the banner: one that uses a tool."""

_LAST_PORT = 65535

_MARK = "Agenthall: demo catalogue"
_STATE = "SELECT to_regclass('public.agents') IS NOT NULL, obj_description(to_regclass('public.agents'), 'pg_class')"


@dataclass(frozen=True, slots=True)
class Demo:
    """A loaded demo. `ports`: by server."""

    folder: Path
    logs: Path
    ports: Mapping[str, int]

    def programs(self, environment: Mapping[str, str]) -> list[Program]:
        """Return the MCP servers. Their environment has no URL of a database, which they do not need."""
        kept = {name: value for name, value in environment.items() if not name.endswith("DATABASE_URL")}
        return [self._program(name, port, kept) for name, port in self.ports.items()]

    def _program(self, name: str, port: int, environment: Mapping[str, str]) -> Program:
        return Program(
            name=f"demo-{name}-mcp",
            argv=(sys.executable, str(self.folder / f"{name}_mcp.py"), "--port", str(port)),
            stage=Stage.DEMO,
            environment=environment,
            listens_on=port,
            log=self.logs / f"{name}_mcp.log",
        )


def load_demo(database: EmbeddedPostgres, log: SupervisorLog, web_port: int, folder: Path | None = None) -> Demo | None:
    """Return the demo, loaded now or earlier; None if the database holds a catalogue of the user.

    A server whose port was taken by another program since then moves to a free one. Raises Unavailable if the catalogue
    cannot be loaded.
    """
    folder = packaged("demo") if folder is None else folder
    has_agents, mark = _query(database, _STATE)
    if has_agents == "t" and mark != _MARK:
        return None
    preferred = {name: min(web_port + offset, _LAST_PORT) for name, offset in _OFFSETS.items()}
    if has_agents == "t":
        ports = _move(database, _ports(database, preferred), log)
    else:
        ports = {name: free_port(HOST, port) for name, port in preferred.items()}
        _store(database, ports)
        _load(database, folder / "catalogue.sql", ports)
        log.write("the demo catalogue is loaded")
    return Demo(folder, database.directory.logs, ports)


def _ports(database: EmbeddedPostgres, example: Mapping[str, int]) -> dict[str, int]:
    """Return the stored ports; after a restore, those of the catalogue, and store them.

    `example`: ports for the error's text.
    """
    path = _ports_file(database)
    if not path.exists() and (ports := _ports_of_catalogue(database)).keys() == _OFFSETS.keys():
        _store(database, ports)
        return ports
    return _read_ports(path, example)


def _move(database: EmbeddedPostgres, ports: Mapping[str, int], log: SupervisorLog) -> dict[str, int]:
    """Return `ports` with a free one in the place of each that is taken, which the URLs of the catalogue have from now
    on."""
    moved = {name: port if is_free(HOST, port) else free_port(HOST, 0) for name, port in ports.items()}
    for name, port in moved.items():
        if port != (old := ports[name]):
            columns = f"endpoint_url = replace(endpoint_url, '{_url(old)}', '{_url(port)}')"
            where = f"endpoint_url LIKE '{_url(old)}%'"
            _psql(database, "--command", f"UPDATE public.mcp_tools SET {columns} WHERE {where}")
            log.write(f"port {old} of the demo's {name} server is taken, so it listens on port {port}")
    if moved != ports:
        _store(database, moved)
    return moved


def _ports_file(database: EmbeddedPostgres) -> Path:
    return database.directory.root / "demo.json"


def _store(database: EmbeddedPostgres, ports: Mapping[str, int]) -> None:
    path = _ports_file(database)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"ports": ports}))
    temporary.rename(path)


def _ports_of_catalogue(database: EmbeddedPostgres) -> dict[str, int]:
    """Return the ports in the URLs of the demo's tools, as far as they are still there."""
    tools = " OR ".join(f"tool_name = '{tool}'" for tool in _TOOLS.values())
    listed = _psql(
        database,
        "--tuples-only",
        "--no-align",
        "--command",
        f"SELECT tool_name, endpoint_url FROM public.mcp_tools WHERE {tools}",
    )
    urls = dict(line.split("|", 1) for line in listed.splitlines())
    found = {name: urlsplit(urls.get(tool, "")).port for name, tool in _TOOLS.items()}
    return {name: port for name, port in found.items() if port is not None}


def _read_ports(path: Path, example: Mapping[str, int]) -> dict[str, int]:
    try:
        ports = json.loads(path.read_text())["ports"]
        return {name: int(ports[name]) for name in _OFFSETS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Misconfigured(
            f"cannot read {path}, which stores the ports of the demo's MCP servers ({error!r}); restore it as"
            f' {{"ports": {json.dumps(example)}}} with the ports in public.mcp_tools.endpoint_url, or choose a new --data-dir',
            field="data_dir",
        ) from None


def _load(database: EmbeddedPostgres, catalogue: Path, ports: Mapping[str, int]) -> None:
    urls = [f"{name}_mcp_url={_url(port)}mcp" for name, port in ports.items()]
    variables = [part for url in urls for part in ("-v", url)]
    mark = f"COMMENT ON TABLE public.agents IS '{_MARK}'"
    _psql(database, "--single-transaction", *variables, "--file", str(catalogue), "--command", mark)
    _psql(database, "--file", str(CATALOGUE_FEED))


def _url(port: int) -> str:
    return f"http://{HOST}:{port}/"


def _query(database: EmbeddedPostgres, query: str) -> tuple[str, ...]:
    return tuple(_psql(database, "--tuples-only", "--no-align", "--command", query).strip().split("|"))


def _psql(database: EmbeddedPostgres, *arguments: str) -> str:
    """Return the output of psql. The password is in the environment, because every user can read arguments."""
    done = subprocess.run(  # noqa: S603 - our own program and arguments
        [database.binaries.program("psql"), "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", *arguments],
        env=_connection(database.dsn),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Unavailable(f"the demo cannot be loaded: {done.stderr.strip()[-600:]}")
    return done.stdout


def _connection(dsn: str) -> dict[str, str]:
    parts = urlsplit(dsn)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PGHOST": parse_qs(parts.query)["host"][0],
        "PGUSER": parts.username or "",
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": parts.path.removeprefix("/"),
        "PGOPTIONS": "-c client_min_messages=warning",
    }
