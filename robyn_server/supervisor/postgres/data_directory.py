"""The data directory of the embedded database, and its owner.

Its content:

    <data-dir>/
      owner.lock     flock of the running `serve`; contains its pid
      data/          the cluster; created as data.tmp and renamed, so it is complete or absent
      run/           the socket, unless its path would be too long
      password       of the superuser, 0600
      logs/          of PostgreSQL and of the demo's servers
      demo.json      ports of the demo's servers
      serving.json   address of the running `serve` (address_file.py)
      binaries-*/    a copy of PostgreSQL's programs, if the account that runs them cannot reach the installed ones
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from robyn_server.core.errors import Misconfigured

SOCKET_NAME = ".s.PGSQL.5432"
_PASSWORD_BYTES = 24
MAX_SOCKET_PATH = 107
"""Bytes: `sun_path` of unix(7) without its final zero. macOS has 103."""


class DataDirectory:
    """The paths of a data directory. Nothing is created before `make`."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.cluster = self.root / "data"
        self.unfinished = self.root / "data.tmp"
        self.password_file = self.root / "password"
        self.logs = self.root / "logs"
        self.log = self.logs / "postgres.log"

    def make(self) -> None:
        """Create the directories. Raises Misconfigured if they cannot be created or written."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.root / "run").mkdir(mode=0o700, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Misconfigured(
                f"--data-dir: {self.root} cannot be used ({error.strerror})", field="data_dir"
            ) from None

    @property
    def has_cluster(self) -> bool:
        return (self.cluster / "PG_VERSION").exists()

    def cluster_major(self) -> int:
        return int((self.cluster / "PG_VERSION").read_text())

    def password(self) -> str:
        """Return the superuser's password. It is generated before the cluster is created."""
        if not self.password_file.exists():
            if self.has_cluster:
                raise Misconfigured(f"{self.password_file}, the database's password, is missing", field="data_dir")
            _write_private(self.password_file, os.urandom(_PASSWORD_BYTES).hex())
        return self.password_file.read_text()

    def socket_folders(self, uid: int) -> Iterator[Path]:
        """Yield directories of `uid` for the socket, best first.

        Their path is short and has no comma, which drivers read as a second host.
        """
        for folder in (self.root / "run", *self._short_folders(uid)):
            fits = len(os.fsencode(folder / SOCKET_NAME)) <= MAX_SOCKET_PATH
            if fits and "," not in str(folder):
                yield folder

    def _short_folders(self, uid: int) -> Iterator[Path]:
        name = f"agenthall-{uid}-{_fingerprint(self.root)}"
        return (base / name for base in _runtime_folders())


def _fingerprint(path: Path) -> str:
    """FNV-1a, 64 bits, as hexadecimal digits. `hashlib` would load OpenSSL: 3.6 MB for one name."""
    state = 0xCBF29CE484222325
    for byte in os.fsencode(path):
        state = (state ^ byte) * 0x100000001B3 % 2**64
    return f"{state:016x}"


def _runtime_folders() -> Iterator[Path]:
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime)
    with contextlib.suppress(FileNotFoundError):
        yield Path(tempfile.gettempdir())
    yield Path("/tmp")  # noqa: S108 - a private directory is created in it, see private_folder


def private_folder(folder: Path, owner: tuple[int, int] | None) -> None:
    """Create `folder` with mode 0700 for `owner`, or check that it is so.

    Raises PermissionError if another account owns it.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        if owner is not None:
            os.chown(folder, *owner)
    expected = os.geteuid() if owner is None else owner[0]
    state = folder.lstat()
    if folder.is_symlink() or state.st_uid not in {expected, os.geteuid()}:
        raise PermissionError(f"{folder} belongs to another account")
    if state.st_uid != expected and owner is not None:
        os.chown(folder, *owner)
    folder.chmod(0o700)


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


class OwnerLock:
    """Lock of a data directory: one process at a time owns it. The kernel releases the lock when the process ends."""

    def __init__(self, root: Path) -> None:
        self._path = root / "owner.lock"
        self._file: TextIOWrapper | None = None

    def acquire(self) -> None:
        """Acquire the lock. Raises Misconfigured, naming the owner, if another process holds it."""
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                raise Misconfigured(_in_use_message(self._path, file), field="data_dir") from None
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _in_use_message(path: Path, file: TextIOWrapper) -> str:
    file.seek(0)
    owner = file.read().strip() or "unknown"
    return (
        f"the data directory {path.parent} is in use by another `agenthall serve` (pid {owner});"
        " stop it, or choose another directory with --data-dir"
    )
