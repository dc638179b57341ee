"""Load an archive into a database, in one transaction.

pg_restore writes a script, which this process passes on to psql. In this way the transaction can begin with statements
of our own, and ends only after pg_restore has read the whole archive: one that breaks off changes nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from robyn_server.core.errors import Unavailable
from robyn_server.storage.operations.backups import quoted
from robyn_server.storage.postgres.migrations import LOCK

from .archive import Archive, Entry
from .processes import Messages, Progress, running
from .programs import ClientPrograms

_STEPS = ("creating ", "processing data for table", "executing ")
_HEAD_LINES = 60
_SINCE_17 = b"SET transaction_timeout = 0;\n"
"""A line that pg_restore writes since version 17, and that an older database refuses."""

ROLES = (Path(__file__).parent / "roles.sql").read_text(encoding="utf-8")
_PRIVILEGES = (
    "alter default privileges in schema langgraph grant select, insert, update, delete on tables to agenthall_system;"
)


@dataclass(frozen=True, slots=True)
class Load:
    """Entries to load. `replaced`: schemas to drop before. `major`: version of the database."""

    archive: Archive
    entries: Sequence[Entry]
    replaced: Sequence[str]
    major: int

    def statements_before(self) -> str:
        # A server that starts meanwhile waits for this lock, which migrations take.
        lines = ["begin;", f"select pg_advisory_xact_lock({LOCK});", ROLES]
        if self.replaced:
            lines.append(f"drop schema if exists {', '.join(map(quoted, self.replaced))} cascade;")
        if "public" in self.replaced:  # every archive takes it for granted
            lines += ["create schema public;", "alter schema public owner to pg_database_owner;"]
            lines.append("grant usage on schema public to public;")
        return "\n".join(lines) + "\n"

    def statements_after(self) -> str:
        has_checkpoints = any(entry.belongs_to == "langgraph" for entry in self.entries)
        return f"{_PRIVILEGES if has_checkpoints else ''}\ncommit;\n"


def load(work: Load, programs: ClientPrograms, environment: Mapping[str, str], progress: Progress) -> None:
    """Load everything or nothing. Raises Unavailable with the reason of pg_restore or psql."""
    progress.expect(len(work.entries))
    messages = Messages(_STEPS, progress)
    with ExitStack() as stack:
        wanted = stack.enter_context(
            tempfile.NamedTemporaryFile("w", suffix=".list", encoding="utf-8", errors="surrogateescape")
        )
        wanted.write("\n".join(entry.line for entry in work.entries) + "\n")
        wanted.flush()
        errors = stack.enter_context(tempfile.TemporaryFile())
        psql = stack.enter_context(
            running(
                [programs.program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"],
                environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors.fileno(),
            )
        )
        source = stack.enter_context(
            running(
                [
                    programs.program("pg_restore"),
                    "--verbose",
                    "--no-owner",
                    f"--use-list={wanted.name}",
                    "--file=-",
                    str(work.archive.path),
                ],
                {"PATH": environment.get("PATH", ""), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        listener = threading.Thread(target=_listen, args=(source.stderr, messages))
        listener.start()
        _pass_on(work, source, psql)
        is_read = source.wait() == 0
        listener.join()
        if is_read:
            _finish(psql, work.statements_after())
        else:
            psql.kill()  # before its input ends, and without a commit
        if psql.wait() != 0 or not is_read:
            raise Unavailable(_failure(errors, messages, is_read=is_read))


def _listen(stream: IO[bytes], messages: Messages) -> None:
    for line in stream:
        messages.take(line.decode(errors="replace"))


def _pass_on(work: Load, source: subprocess.Popen[bytes], psql: subprocess.Popen[bytes]) -> None:
    """Write our statements and the script to psql. Stop if it has ended: its exit code tells."""
    assert source.stdout is not None and psql.stdin is not None  # noqa: S101, PT018 - pipes
    try:
        psql.stdin.write(work.statements_before().encode())
        for line in _head(source.stdout):
            if work.major >= 17 or line != _SINCE_17:  # noqa: PLR2004
                psql.stdin.write(line)
        shutil.copyfileobj(source.stdout, psql.stdin, 1 << 18)
        psql.stdin.flush()
    except BrokenPipeError:
        source.terminate()


def _head(script: IO[bytes]) -> Iterator[bytes]:
    """Yield the first lines, in which there are no data yet."""
    for _ in range(_HEAD_LINES):
        line = script.readline()
        yield line
        if line.startswith((b"CREATE ", b"COPY ")):
            return


def _finish(psql: subprocess.Popen[bytes], statements: str) -> None:
    assert psql.stdin is not None  # noqa: S101 - a pipe
    try:
        psql.stdin.write(statements.encode())
        psql.stdin.close()
    except BrokenPipeError:
        pass


def _failure(errors: IO[bytes], messages: Messages, *, is_read: bool) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").splitlines()
    reason = "\n".join(line for line in lines if "ERROR:" in line or "DETAIL:" in line or "FATAL:" in line)
    if not reason:
        reason = messages.failure if not is_read else "\n".join(lines[-4:])
    hint = (
        "\nCreate the role first: create role NAME nologin;" if "role " in reason and "does not exist" in reason else ""
    )
    return f"the restore failed, and nothing was changed:\n{reason}{hint}"
