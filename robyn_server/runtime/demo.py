"""The demo: a catalogue in the embedded database, and the two MCP servers that its agents use.

Only for a database without `public.agents`: somebody's own catalogue is never touched. The database itself says
whether the catalogue in it is the demo's, by a comment that is written in the same transaction. The catalogue's rows
hold the servers' URLs, so their ports are chosen once and remembered.
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

from .child import Program, Stage
from .embedded_postgres import EmbeddedPostgres
from .journal import Journal
from .port import free_port, is_free

HOST = "127.0.0.1"
PORTS = {"legal": 18101, "documents": 18102}
"""Servers and the ports they get when those are free."""

ENVIRONMENT = {"AGENT_SYNC_SCOPE": "all", "AGENTHALL_DEFAULT_MODEL": "offline:demo"}
"""What the server's processes get with the demo, where the user has not said otherwise."""

REGISTRY = {"AGENTHALL_DEV_TENANT": "00000000-0000-0000-0000-000000000001", "AGENTHALL_DEV_KEY": "dev-key"}
"""And with AUTH_MODE=none: what instances register with that name no tenant, and what they say as their key."""

FIRST = {"agent": "Legal Researcher", "question": "What does the law say about rent?"}
"""The first conversation that the greeting proposes: one that uses a tool."""

_MARK = "Agenthall: demo catalogue"
_STATE = "SELECT to_regclass('public.agents') IS NOT NULL, obj_description(to_regclass('public.agents'), 'pg_class')"


@dataclass(frozen=True, slots=True)
class Demo:
    """`ports` by server."""

    folder: Path
    logs: Path
    ports: Mapping[str, int]

    def programs(self, environment: Mapping[str, str]) -> list[Program]:
        """The MCP servers. They get the environment without the database's URL: none of their business."""
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


def load_demo(database: EmbeddedPostgres, journal: Journal, folder: Path | None = None) -> Demo | None:
    """The demo, loaded now or earlier; None when the database holds a catalogue of its user's.

    Raises Unavailable when the catalogue cannot be loaded.
    """
    folder = packaged("demo") if folder is None else folder
    has_agents, mark = _ask(database, _STATE)
    if has_agents == "t" and mark != _MARK:
        return None
    ports = _ports(database.directory.root / "demo.json", first=has_agents != "t")
    if has_agents != "t":
        _load(database, folder / "catalogue.sql", ports)
        journal.note("the demo's catalogue is loaded")
    for name, port in ports.items():
        if not is_free(HOST, port):
            journal.note(f"port {port} of the demo's {name} server is taken; its tools will be missing")
    return Demo(folder, database.directory.logs, ports)


def _ports(path: Path, *, first: bool) -> dict[str, int]:
    """Remembered ports; chosen anew, and written, the `first` time."""
    if not first:
        return _remembered(path)
    ports = {name: free_port(HOST, port) for name, port in PORTS.items()}
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps({"ports": ports}))
    unfinished.rename(path)
    return ports


def _remembered(path: Path) -> dict[str, int]:
    try:
        ports = json.loads(path.read_text())["ports"]
        return {name: int(ports[name]) for name in PORTS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Misconfigured(
            f"{path}, which remembers the ports of the demo's MCP servers, cannot be read ({error!r}); restore it as"
            f' {{"ports": {json.dumps(PORTS)}}} with the ports in public.mcp_tools.endpoint_url, or choose a new --data-dir',
            field="data_dir",
        ) from None


def _load(database: EmbeddedPostgres, catalogue: Path, ports: Mapping[str, int]) -> None:
    urls = [f"{name}_mcp_url=http://{HOST}:{port}/mcp" for name, port in ports.items()]
    variables = [part for url in urls for part in ("-v", url)]
    mark = f"COMMENT ON TABLE public.agents IS '{_MARK}'"
    _psql(database, "--single-transaction", *variables, "--file", str(catalogue), "--command", mark)
    _psql(database, "--file", str(CATALOGUE_FEED))


def _ask(database: EmbeddedPostgres, query: str) -> tuple[str, ...]:
    return tuple(_psql(database, "--tuples-only", "--no-align", "--command", query).strip().split("|"))


def _psql(database: EmbeddedPostgres, *arguments: str) -> str:
    """What psql printed. The password travels in the environment: arguments can be read by everybody."""
    said = subprocess.run(  # noqa: S603 - our own program and arguments
        [database.binaries.program("psql"), "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", *arguments],
        env=_connection(database.dsn),
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode != 0:
        raise Unavailable(f"the demo cannot be loaded: {said.stderr.strip()[-600:]}")
    return said.stdout


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
