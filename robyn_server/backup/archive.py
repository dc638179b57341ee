"""An archive of pg_dump: its contents, and the versions that it holds."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from robyn_server.core.errors import Conflict, Misconfigured
from robyn_server.storage.postgres.migrations import Migration

from . import SCHEMAS
from .programs import ClientPrograms

_ENTRY = re.compile(r"\d+; \d+ \d+ (?P<kind>[A-Z][A-Z ]*[A-Z]) (?P<schema>\S+) (?P<rest>.*) \S+")
_OF_SCHEMA = re.compile(r"(?:SCHEMA )?(?P<name>.+)")
_SETTING = re.compile(r"""ALTER DATABASE .+? SET "?(?P<name>mcp\.\w+)"? TO (?P<value>.*);""")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the archive's table of contents."""

    line: str
    kind: str
    schema: str
    rest: str

    @property
    def belongs_to(self) -> str:
        """The schema that the object is in or is. An object outside of schemas belongs to none: the empty text."""
        if self.schema != "-":
            return self.schema
        is_schema = self.kind == "SCHEMA" or self.rest.startswith("SCHEMA ")
        match = _OF_SCHEMA.fullmatch(self.rest) if is_schema else None
        return match["name"] if match else ""


class Archive:
    """A backup at `path`, read with pg_restore."""

    def __init__(self, path: Path, programs: ClientPrograms) -> None:
        self.path = path
        self._programs = programs

    @cached_property
    def entries(self) -> list[Entry]:
        """Raises Misconfigured if `path` is no archive, or one of a newer pg_dump."""
        return list(_entries(self._read("--list")))

    @property
    def schemas(self) -> list[str]:
        """The schemas that the archive creates or fills."""
        made = {entry.belongs_to for entry in self.entries if entry.kind == "SCHEMA"}
        filled = {"public"} if any(entry.schema == "public" for entry in self.entries) else set()
        return sorted(made | filled)

    def selected(self, schemas: Collection[str] | None) -> list[Entry]:
        """Return the entries of `schemas`; None: all.

        Default privileges of `langgraph` name their owner and are left out.
        """
        return [
            entry
            for entry in self.entries
            if (schemas is None or entry.belongs_to in schemas)
            and not (entry.kind == "DEFAULT ACL" and entry.schema == "langgraph")
        ]

    def check_versions(self, known: Sequence[Migration], known_checkpoints: int) -> str:
        """Return the newest migration. `known_checkpoints`: number of LangGraph's newest one.

        Raises Conflict if a newer build has written the archive, and Misconfigured if it is of another product.
        """
        if newer := self.newer_migrations(known):
            raise Conflict(
                f"{self.path} is of a newer Agenthall: this build ends with migration {known[-1]}, and the backup has"
                f" {', '.join(newer)}. Restore it with the build that it is of, or a newer one."
            )
        ours = {str(each): each.checksum for each in known}
        if edited := [name for name, checksum in self.migrations.items() if ours.get(name) != checksum]:
            raise Conflict(f"{self.path} is of another build: its migration {edited[0]} differs from this build's.")
        self._check_checkpoints(known_checkpoints)
        return max(self.migrations)

    @cached_property
    def migrations(self) -> dict[str, str]:
        """The checksums of the applied migrations, by name.

        Raises Misconfigured if the archive is of another product.
        """
        rows = self._rows("agenthall", "migrations", ("version", "name", "checksum"))
        found = {f"{int(version):04d}_{name}": checksum for version, name, checksum in rows}
        if not found:
            raise Misconfigured(f"{self.path} is an archive of pg_dump, but not of a database of Agenthall")
        return found

    def newer_migrations(self, known: Sequence[Migration]) -> list[str]:
        """Return the applied migrations that come after the last one of `known`."""
        return sorted(name for name in self.migrations if int(name.partition("_")[0]) > known[-1].version)

    def _check_checkpoints(self, known: int) -> None:
        versions = [int(row[0]) for row in self._rows("langgraph", "checkpoint_migrations", ("v",))]
        if versions and max(versions) > known:
            raise Conflict(
                f"{self.path} is of a newer LangGraph: its checkpoints have version {max(versions)}, and this build knows {known}."
                " Restore it with the build that it is of, or a newer one."
            )

    def settings(self) -> list[tuple[str, str]]:
        """Return the settings `mcp.…` of the database that was saved, with their values as SQL."""
        script = self._read("--create", "--schema-only", "--file=-", "--schema=-")
        return [(match["name"], match["value"]) for match in _SETTING.finditer(script)]

    def _rows(self, schema: str, table: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """Yield the values of `columns` of a small table, as COPY writes them."""
        script = self._read("--data-only", f"--schema={schema}", f"--table={table}", "--file=-")
        head = re.search(rf"^COPY {schema}\.{table} \((.*)\) FROM stdin;\n", script, re.MULTILINE)
        if head is None:
            return
        places = [head[1].split(", ").index(column) for column in columns]
        for line in script[head.end() :].split("\n\\.\n")[0].splitlines():
            if line == "\\.":
                return
            values = line.split("\t")
            yield tuple(values[place] for place in places)

    def _read(self, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own program
            [self._programs.program("pg_restore"), *arguments, str(self.path)],
            env={"PATH": os.defpath, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
        if done.returncode == 0:
            return done.stdout
        reason = done.stderr.strip().removeprefix("pg_restore: ").removeprefix("error: ")
        if "unsupported version" in reason:
            raise Misconfigured(
                f"{self.path} was written by a pg_dump that is newer than this pg_restore ({self._programs.version}): {reason}."
                " Install newer client programs of PostgreSQL and set PGBIN to their directory.",
                field="PGBIN",
            )
        raise Misconfigured(f"{self.path} is no backup that pg_restore can read: {reason}")


def _entries(listing: str) -> Iterator[Entry]:
    for line in listing.splitlines():
        match = _ENTRY.fullmatch(line)
        if match:
            yield Entry(line, match["kind"], match["schema"], match["rest"])


def of_server(archive: Archive) -> list[str]:
    """Return the schemas of the server that the archive has."""
    return [schema for schema in archive.schemas if schema in SCHEMAS]
