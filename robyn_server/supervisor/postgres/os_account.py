"""The account that PostgreSQL runs as. It refuses to run as root. No users are created, and no directory is opened to
others.

As root there are three ways, tried in this order:

1. A user namespace with one account. Files still belong to root, but the process has no root privileges. It works in a
   0700 home.
2. The owner of the directory above the data, for `sudo` in a user's home.
3. `nobody`, if namespaces are forbidden (the default seccomp profile of containers).
"""

from __future__ import annotations

import ctypes
import os
import pwd
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from robyn_server.core.errors import Misconfigured

CLONE_NEWUSER = 0x10000000
_LIBC = ctypes.CDLL(None, use_errno=True)
"""For `unshare`: `os.unshare` needs Python 3.12."""


@dataclass(frozen=True, slots=True)
class Account:
    """`become` runs between fork and exec. `owner` (uid, gid) must own the files; None: their owner stays."""

    name: str
    become: Callable[[], None]
    owner: tuple[int, int] | None = None

    @property
    def uid(self) -> int:
        """Owner of the files outside the namespace."""
        return os.geteuid() if self.owner is None else self.owner[0]


def accounts(data_dir: Path) -> Iterator[Account]:
    """Yield the accounts to try, best first. `data_dir` exists."""
    if os.geteuid() != 0:
        yield Account("the current user", _keep_account)
        return
    yield from (namespace(), parent_owner(data_dir), nobody())


def namespace() -> Account:
    """Return an account that is root outside a user namespace and an ordinary user inside. initdb requires a user with
    a name."""
    # Read here: inside the namespace, the group has another number until the maps are written.
    user, group = _ordinary_user(), os.getegid()

    def become() -> None:
        if not hasattr(_LIBC, "unshare") or _LIBC.unshare(CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user.pw_uid} 0 1")
        _write("/proc/self/gid_map", f"{user.pw_gid} {group} 1")

    return Account("a user namespace", become, (0, group))


def parent_owner(data_dir: Path) -> Account:
    above = data_dir.parent.stat()
    return _user(above.st_uid, above.st_gid)


def nobody() -> Account:
    user = _ordinary_user()
    return _user(user.pw_uid, user.pw_gid)


def _user(uid: int, gid: int) -> Account:
    def become() -> None:
        if uid == 0:
            raise PermissionError("PostgreSQL does not run as root")
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)

    return Account(f"uid {uid}", become, (uid, gid))


def _keep_account() -> None:
    pass


def _ordinary_user() -> pwd.struct_passwd:
    """Return `nobody`, or any other user that is not root."""
    users = [user for user in pwd.getpwall() if user.pw_uid != 0]
    users.sort(key=lambda user: user.pw_name != "nobody")
    if not users:
        raise Misconfigured("PostgreSQL does not run as root, and this machine has no other user", field="DATABASE_URL")
    return users[0]


def _write(path: str, text: str) -> None:
    """Write at once: the kernel requires each map in one write."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def change_owner(tree: Path, owner: tuple[int, int] | None) -> None:
    """Make `owner` the owner of `tree` and everything in it, unless it is already. Links are not followed."""
    if owner is None or tree.stat().st_uid == owner[0]:
        return
    for folder, folders, files in os.walk(tree, topdown=False):
        for name in (*folders, *files):
            os.chown(Path(folder, name), *owner, follow_symlinks=False)
    os.chown(tree, *owner)
