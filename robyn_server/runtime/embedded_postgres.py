"""The embedded PostgreSQL: a child process of the one that calls `start`, and gone when that is gone.

Rules, each from a failure that was seen:

1. `start` and `launch` are called in the main thread: the death signal belongs to the thread (`lifeline.py`).
2. One owner per data directory, by flock. Whoever holds it may stop a postmaster that outlived its owner.
3. A cluster is made aside and renamed; a half-made one is never seen.
4. Ready is what *our* child wrote to postmaster.pid, not that some pid exists.
5. SIGINT (fast shutdown) first, SIGQUIT (crash and recover) when it takes too long, never SIGKILL.
6. No TCP: the socket is in a directory that only its owner may enter, and the password is asked for all the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from robyn_server.core.errors import Misconfigured, Unavailable

from .child import Stage
from .data_directory import SOCKET_NAME, DataDirectory, OwnerLock, private_folder
from .journal import open_log
from .lifeline import Watchdog, death_signal, watchdog
from .postgres_binaries import Binaries, copied, find_binaries, with_version
from .postmaster_pid import dsn_for, evict, ready_pid, remove_stale, serves, socket_folder
from .unprivileged import Account, accounts, give

OPTIONS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "jit": "off",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] ",
}

_LAUNCH_ATTEMPTS_SECONDS = 10.0
"""How long backends of a killed postmaster may keep its shared memory, and so a new one from starting."""

_TOLD = 1000
"""Characters of the log in an error."""

_SHUTDOWN_SECONDS = 30.0
_POLL = 0.005

_T = TypeVar("_T")


class EmbeddedPostgres:
    """`options` are settings of PostgreSQL, on top of OPTIONS. `candidates` gives the accounts to try, when root.

    Also a `Child` of the supervisor, which starts it again when it dies.
    """

    name = "postgres"
    stage = Stage.DATABASE

    def __init__(
        self,
        data_dir: Path,
        *,
        options: Mapping[str, str] | None = None,
        environment: Mapping[str, str] = os.environ,
        candidates: Callable[[Path], Iterable[Account]] = accounts,
    ) -> None:
        self.directory = DataDirectory(data_dir)
        self._options = {**OPTIONS, **(options or {})}
        self._environment = environment
        self._candidates = candidates
        self._lock: OwnerLock | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None
        self._binaries: Binaries | None = None
        self._account: Account | None = None
        self._socket_folder: Path | None = None
        self._log_began = 0

    @property
    def binaries(self) -> Binaries:
        """Raises RuntimeError before `start`."""
        return _started(self._binaries)

    @property
    def account(self) -> Account:
        return _started(self._account)

    @property
    def dsn(self) -> str:
        """A URL that asyncpg and psycopg accept as it is."""
        return dsn_for(_started(self._socket_folder), self.directory.password())

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    # start

    def start(self) -> str:
        """Start PostgreSQL, making the cluster when there is none; the URL when it accepts connections.

        Raises Misconfigured when the directory is another's, of another major version, or cannot be used, and when
        there are no programs to start; Unavailable, with the end of the log, when PostgreSQL itself gives up.
        """
        self.directory.make()
        lock = OwnerLock(self.directory.root)
        try:
            lock.take()
        except PermissionError as error:
            raise Misconfigured(f"--data-dir: {error}", field="data_dir") from None
        self._lock = lock
        try:
            self._prepare()
            self._start_server()
        except BaseException:
            self.stop()
            raise
        return self.dsn

    def _prepare(self) -> None:
        self._choose_account(find_binaries(self._environment))
        self._check_major()
        give(self.directory.root, self.account.owner)
        self._socket_folder = self._choose_socket_folder()
        if not self.directory.has_cluster:
            self._make_cluster()
        evict(self.directory.cluster)

    def _choose_account(self, installed: Binaries) -> None:
        """The first account that can enter the data directory and execute the programs, or a copy of them."""
        for account in self._candidates(self.directory.root):
            binaries = self._usable(installed, account)
            if binaries is not None:
                self._account, self._binaries = account, binaries
                return
        raise Misconfigured(
            f"--data-dir: no account but root can reach {self.directory.root}, and PostgreSQL does not run as root",
            field="data_dir",
        )

    def _usable(self, installed: Binaries, account: Account) -> Binaries | None:
        """`installed`, a copy of it, or None when `account` cannot be had or cannot reach the data directory."""
        give(self.directory.root, account.owner)
        try:
            found = with_version(installed, self._enter(account))
            if found.has_plain_path:
                return found
        except subprocess.SubprocessError:
            return None
        except PermissionError:
            found = installed
        copy = copied(found, self._folder_for_copy(account))
        give(copy.root, account.owner)
        return with_version(copy, self._enter(account))

    def _folder_for_copy(self, account: Account) -> Path:
        if Binaries(self.directory.root, "").has_plain_path:
            return self.directory.root
        *_, short = self.directory.socket_folders(account.uid)
        folder = short.with_name(f"{short.name}-binaries")
        private_folder(folder, account.owner)
        return folder

    def _check_major(self) -> None:
        if not self.directory.has_cluster:
            return
        major = self.directory.cluster_major()
        if major != self.binaries.major:
            raise Misconfigured(
                f"the database in {self.directory.root} is of PostgreSQL {major}, the programs are {self.binaries.version};"
                f" set PGBIN to those of {major}, dump with pg_dump and load into a new --data-dir, or use pg_upgrade",
                field="PGBIN",
            )

    def _choose_socket_folder(self) -> Path:
        for folder in self.directory.socket_folders(self.account.uid):
            try:
                private_folder(folder, self.account.owner)
                if folder.parent != self.directory.root:  # that one was entered already
                    self._run("true", enter_folder=folder)
            except (OSError, subprocess.SubprocessError):
                continue
            return folder
        raise Misconfigured(f"--data-dir: no directory short enough for a socket; {self.directory.root} is too long")

    def _make_cluster(self) -> None:
        self.directory.password()
        give(self.directory.password_file, self.account.owner)
        shutil.rmtree(self.directory.unfinished, ignore_errors=True)
        locale = "C.UTF-8" if sys.platform == "linux" else "C"
        said = self._run(
            self.binaries.program("initdb"),
            *("--pgdata", str(self.directory.unfinished), "--username", "postgres", "--encoding", "UTF8"),
            *("--locale", locale, "--data-checksums", "--auth", "scram-sha-256"),
            f"--pwfile={self.directory.password_file}",
        )
        if said.returncode != 0:
            raise Unavailable(f"initdb failed in {self.directory.root}: {(said.stderr or said.stdout).strip()[-600:]}")
        self.directory.unfinished.rename(self.directory.cluster)

    # processes

    def _enter(self, account: Account, folder: Path | None = None) -> Callable[[], None]:
        """Runs between fork and exec. The death signal is last: a change of credentials would clear it."""
        where, dying = folder or self.directory.root, death_signal(signal.SIGKILL)

        def step() -> None:
            account.become()
            os.chdir(where)
            os.umask(0o077)
            dying()

        return step

    def _run(self, *argv: str, enter_folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own program and arguments
            argv,
            capture_output=True,
            text=True,
            check=False,
            env=self._process_environment(),
            start_new_session=True,
            preexec_fn=self._enter(self.account, enter_folder),
        )

    def _process_environment(self) -> dict[str, str]:
        """Little: nobody's PG* variables, and messages in English."""
        kept = {name: self._environment[name] for name in ("PATH", "TZ", "TMPDIR") if name in self._environment}
        return {"PATH": os.defpath, **kept, "LC_ALL": "C", "HOME": str(self.directory.root)}

    def launch(self) -> None:
        """Start the server and return at once. Only after `start`: the supervisor calls it when the server died."""
        for lock_file in (self.directory.cluster / "postmaster.pid", self._socket_lock()):
            remove_stale(lock_file, self.directory.cluster)
        enter, dying = self._enter(self.account), death_signal(signal.SIGINT)

        def step() -> None:
            enter()
            dying()  # SIGINT instead: the server shuts down fast, and cleanly

        with open_log(self.directory.log) as log:
            self._log_began = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - our own program and arguments
                [self.binaries.program("postgres"), "-D", str(self.directory.cluster), *self._arguments()],
                env=self._process_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=step,  # noqa: PLW1509 - one thread
            )
        self._watchdog = watchdog(["kill", "-INT", str(self._process.pid)])

    def _socket_lock(self) -> Path:
        return _started(self._socket_folder) / f"{SOCKET_NAME}.lock"

    def _arguments(self) -> list[str]:
        """The socket's directory is a list to PostgreSQL: quoted, or a comma or a space would part it."""
        quoted = '"' + str(self._socket_folder).replace('"', '""') + '"'
        settings = {**self._options, "unix_socket_directories": quoted}
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _start_server(self) -> None:
        """Until it is ready; recovery after a crash may take long, so there is no limit to that."""
        give_up = time.monotonic() + _LAUNCH_ATTEMPTS_SECONDS
        self.launch()
        while not self.is_ready():
            if self.poll() is not None:
                said = self._said()
                if "shared memory block" not in said or time.monotonic() > give_up:
                    raise Unavailable(f"PostgreSQL did not start; the end of {self.directory.log}:\n{said[-_TOLD:]}")
                time.sleep(0.1)
                self.launch()
            time.sleep(_POLL)

    def _said(self) -> str:
        """What the log has got since the last launch: from the new server, and from the last processes of one that was killed."""
        with self.directory.log.open("rb") as log:
            log.seek(self._log_began)
            return log.read().decode(errors="replace")

    # life

    def is_ready(self) -> bool:
        return self._process is not None and ready_pid(self.directory.cluster) == self._process.pid

    def poll(self) -> int | None:
        """None while the server lives, else its exit code."""
        if self._process is None:
            return None
        code = self._process.poll()
        if code is not None and self._watchdog is not None:
            self._watchdog.stand_down()
            self._watchdog = None
        return code

    def drain(self) -> None:
        self._send(signal.SIGINT)

    def kill(self) -> None:
        self._send(signal.SIGQUIT)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """Stop the server, when it runs, and give the directory free."""
        if self._process is not None and self.poll() is None:
            self.drain()
            try:
                self._process.wait(_SHUTDOWN_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                self._process.wait()
            self.poll()
        if self._socket_folder is not None and self._socket_folder.parent != self.directory.root:
            with contextlib.suppress(OSError):  # not empty: the server was killed
                self._socket_folder.rmdir()
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _started(value: _T | None) -> _T:
    if value is None:
        raise RuntimeError("the embedded database was not started")
    return value


def find_running(data_dir: Path) -> str | None:
    """The URL of the embedded database in `data_dir`, when one runs there."""
    directory = DataDirectory(data_dir)
    pid = ready_pid(directory.cluster)
    if pid is None or not serves(pid, directory.cluster):
        return None
    return dsn_for(socket_folder(directory.cluster), directory.password())
