"""The embedded PostgreSQL: a child of the process that calls `start`. It ends with that process.

Rules, each from a failure that was observed:

1. `start` and `launch` are called in the main thread: the death signal belongs to the thread (`parent_death.py`).
2. A data directory has one owner, by flock. The owner may stop a postmaster that outlived an earlier owner.
3. A cluster is created under another name and renamed, so it is never seen incomplete.
4. The server is ready when *this* child has written so to postmaster.pid. That some pid exists there is not enough.
5. SIGINT (fast shutdown) comes first, SIGQUIT (crash and recover) after a timeout, SIGKILL never.
6. There is no TCP. The socket is in a directory that only its owner may enter, and a password is required all the same.
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
from robyn_server.supervisor.child import Stage
from robyn_server.supervisor.output.log import open_log
from robyn_server.supervisor.output.progress_line import OnProgress, no_progress
from robyn_server.supervisor.parent_death import Watchdog, death_signal, watchdog

from .binaries import Binaries, copy_binaries, find_binaries, with_version
from .data_directory import SOCKET_NAME, DataDirectory, OwnerLock, private_folder
from .os_account import Account, accounts, change_owner
from .postmaster import (
    dsn_for,
    end_orphaned_children,
    is_postmaster_of,
    ready_pid,
    remove_stale,
    socket_folder,
    stop_orphan,
)

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

_LAUNCH_ATTEMPTS_SECONDS = 60.0
"""How long backends of a killed postmaster may hold its shared memory, which keeps a new one from starting.

They are ended, which takes as long as the disk keeps them waiting.
"""

_LOG_TAIL = 1000
"""Characters of the log in an error."""

_CREATING = "creating the database"
_STEP = " ... "
"""In a line of initdb about a step: `running bootstrap script ... ok`."""

_INITDB_STEPS = 10
"""Steps of initdb of PostgreSQL 15 to 18."""

_SHUTDOWN_SECONDS = 30.0
_POLL = 0.005

_T = TypeVar("_T")


class EmbeddedPostgres:
    """An embedded server, which is also a `Child` of the supervisor.

    `options`: settings of PostgreSQL on top of OPTIONS. `candidates` returns the accounts to try as root.
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
        self._log_offset = 0

    @property
    def binaries(self) -> Binaries:
        """Raises RuntimeError before `start`."""
        return _require_started(self._binaries)

    @property
    def account(self) -> Account:
        return _require_started(self._account)

    @property
    def dsn(self) -> str:
        """A URL that both asyncpg and psycopg accept."""
        return dsn_for(_require_started(self._socket_folder), self.directory.password())

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self, on_progress: OnProgress = no_progress) -> str:
        """Start PostgreSQL, and return its URL when it accepts connections. A missing cluster is created, and
        `on_progress` is told how far that is.

        Raises Misconfigured if the directory is in use, of another major version or unusable, or if no PostgreSQL is
        installed. Raises Unavailable, with the end of the log, if PostgreSQL does not start.
        """
        self.directory.make()
        lock = OwnerLock(self.directory.root)
        try:
            lock.acquire()
        except PermissionError as error:
            raise Misconfigured(f"--data-dir: {error}", field="data_dir") from None
        self._lock = lock
        try:
            self._prepare(on_progress)
            self._start_server()
        except BaseException:
            self.stop()
            raise
        return self.dsn

    def _prepare(self, on_progress: OnProgress) -> None:
        self._choose_account(find_binaries(self._environment))
        self._check_major()
        change_owner(self.directory.root, self.account.owner)
        self._socket_folder = self._choose_socket_folder()
        if not self.directory.has_cluster:
            self._make_cluster(on_progress)
        stop_orphan(self.directory.cluster)

    def _choose_account(self, installed: Binaries) -> None:
        """Choose the first account that can enter the data directory and execute the programs or a copy of them."""
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
        """Return `installed`, a copy of it, or None if `account` is impossible or cannot enter the data directory."""
        change_owner(self.directory.root, account.owner)
        try:
            found = with_version(installed, self._enter(account))
            if found.has_plain_path:
                return found
        except subprocess.SubprocessError:
            return None
        except PermissionError:
            found = installed
        copy = copy_binaries(found, self._folder_for_copy(account))
        change_owner(copy.root, account.owner)
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
                f"the database in {self.directory.root} is of PostgreSQL {major}, but the programs are of {self.binaries.version};"
                f" set PGBIN to those of {major}, dump with pg_dump and load into a new --data-dir, or use pg_upgrade",
                field="PGBIN",
            )

    def _choose_socket_folder(self) -> Path:
        for folder in self.directory.socket_folders(self.account.uid):
            try:
                private_folder(folder, self.account.owner)
                if folder.parent != self.directory.root:  # which was entered already
                    self._run("true", enter_folder=folder)
            except (OSError, subprocess.SubprocessError):
                continue
            return folder
        raise Misconfigured(f"--data-dir: no directory short enough for a socket; {self.directory.root} is too long")

    def _make_cluster(self, on_progress: OnProgress) -> None:
        self.directory.password()
        change_owner(self.directory.password_file, self.account.owner)
        shutil.rmtree(self.directory.unfinished, ignore_errors=True)
        locale = "C.UTF-8" if sys.platform == "linux" else "C"
        code, output = self._run_initdb(
            on_progress,
            self.binaries.program("initdb"),
            *("--pgdata", str(self.directory.unfinished), "--username", "postgres", "--encoding", "UTF8"),
            *("--locale", locale, "--data-checksums", "--auth", "scram-sha-256"),
            f"--pwfile={self.directory.password_file}",
        )
        if code != 0:
            raise Unavailable(f"initdb failed in {self.directory.root}: {output.strip()[-600:]}")
        self.directory.unfinished.rename(self.directory.cluster)

    def _run_initdb(self, on_progress: OnProgress, *argv: str) -> tuple[int, str]:
        """Run initdb, and report its steps: it writes a line after each. Return its exit code and its output."""
        output, steps = "", 0
        on_progress(_CREATING, 0)
        with subprocess.Popen(  # noqa: S603 - our own program and arguments
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=self._process_environment(),
            start_new_session=True,
            preexec_fn=self._enter(self.account),  # noqa: PLW1509 - one thread
        ) as process:
            try:
                for line in process.stdout or ():
                    output += line
                    steps += _STEP in line
                    on_progress(_CREATING, steps / _INITDB_STEPS)
            except BaseException:
                process.kill()
                raise
        return process.returncode, output

    def _enter(self, account: Account, folder: Path | None = None) -> Callable[[], None]:
        """Return a function to call between fork and exec.

        It sets the death signal last: a change of credentials clears it.
        """
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
        """Return a small environment: no PG* variables, and messages in English."""
        kept = {name: self._environment[name] for name in ("PATH", "TZ", "TMPDIR") if name in self._environment}
        return {"PATH": os.defpath, **kept, "LC_ALL": "C", "HOME": str(self.directory.root)}

    def launch(self) -> None:
        """Start the server again and return at once. The supervisor calls it after the server died."""
        end_orphaned_children(self.directory.cluster)
        for lock_file in (self.directory.cluster / "postmaster.pid", self._socket_lock()):
            remove_stale(lock_file, self.directory.cluster)
        enter, dying = self._enter(self.account), death_signal(signal.SIGINT)

        def step() -> None:
            enter()
            dying()  # SIGINT instead: a fast and clean shutdown

        with open_log(self.directory.log) as log:
            self._log_offset = log.tell()
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
        return _require_started(self._socket_folder) / f"{SOCKET_NAME}.lock"

    def _arguments(self) -> list[str]:
        """Return the arguments.

        The socket's directory is a list to PostgreSQL, so it is quoted: it may contain a comma or a space.
        """
        quoted = '"' + str(self._socket_folder).replace('"', '""') + '"'
        settings = {**self._options, "unix_socket_directories": quoted}
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _start_server(self) -> None:
        """Start the server and wait until it is ready, without a limit: recovery after a crash may take long."""
        give_up = time.monotonic() + _LAUNCH_ATTEMPTS_SECONDS
        self.launch()
        while not self.is_ready():
            if self.poll() is not None:
                log = self._log_since_launch()
                if "shared memory block" not in log or time.monotonic() > give_up:
                    raise Unavailable(f"PostgreSQL did not start; the end of {self.directory.log}:\n{log[-_LOG_TAIL:]}")
                time.sleep(0.1)
                self.launch()
            time.sleep(_POLL)

    def _log_since_launch(self) -> str:
        """Return the log since the last launch, with lines of the new server and of the last processes of a killed
        one."""
        with self.directory.log.open("rb") as log:
            log.seek(self._log_offset)
            return log.read().decode(errors="replace")

    def is_ready(self) -> bool:
        return self._process is not None and ready_pid(self.directory.cluster) == self._process.pid

    def poll(self) -> int | None:
        """Return None while the server runs, else its exit code."""
        if self._process is None:
            return None
        code = self._process.poll()
        if code is not None and self._watchdog is not None:
            self._watchdog.cancel()
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
        """Stop the server if it runs, and release the directory."""
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


def _require_started(value: _T | None) -> _T:
    if value is None:
        raise RuntimeError("the embedded database was not started")
    return value


def find_running(data_dir: Path) -> str | None:
    """Return the URL of the embedded database in `data_dir`, if it runs."""
    directory = DataDirectory(data_dir)
    pid = ready_pid(directory.cluster)
    if pid is None or not is_postmaster_of(pid, directory.cluster):
        return None
    return dsn_for(socket_folder(directory.cluster), directory.password())
