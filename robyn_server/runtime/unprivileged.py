"""Whom PostgreSQL runs as. It refuses to run as root, and we neither make users nor open anybody's directories.

As root there are three ways, tried in this order:

1. a user namespace with one account: to the kernel still root's files, without root's powers; works in a 0700 home;
2. the owner of the directory above the data, as with `sudo` in one's own home;
3. `nobody`, where namespaces are forbidden (the default seccomp profile of containers).
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
"""`os.unshare` came with Python 3.12; this works on all."""


@dataclass(frozen=True, slots=True)
class Account:
    """`become` runs between fork and exec. `owner` (uid, gid) must own the files; None: whoever owns them does."""

    name: str
    become: Callable[[], None]
    owner: tuple[int, int] | None = None

    @property
    def uid(self) -> int:
        """Who owns the files, as the rest of the system sees it."""
        return os.geteuid() if self.owner is None else self.owner[0]


def accounts(data_dir: Path) -> Iterator[Account]:
    """The accounts to try, best first. `data_dir` exists."""
    if os.geteuid() != 0:
        yield Account("the current user", _stay)
        return
    yield from (namespace(), owner_above(data_dir), nobody())


def namespace() -> Account:
    """Root alone in a user namespace, known there as an ordinary user. initdb wants that user to have a name."""
    user, group = _ordinary_user(), os.getegid()  # inside, and before the maps are written, ours has another number

    def become() -> None:
        if not hasattr(_LIBC, "unshare") or _LIBC.unshare(CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user.pw_uid} 0 1")
        _write("/proc/self/gid_map", f"{user.pw_gid} {group} 1")

    return Account("a user namespace", become, (0, group))


def owner_above(data_dir: Path) -> Account:
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


def _stay() -> None:
    pass


def _ordinary_user() -> pwd.struct_passwd:
    """`nobody`, or any user that is not root where there is no `nobody`."""
    users = [user for user in pwd.getpwall() if user.pw_uid != 0]
    users.sort(key=lambda user: user.pw_name != "nobody")
    if not users:
        raise Misconfigured("PostgreSQL does not run as root, and this machine has no other user", field="DATABASE_URL")
    return users[0]


def _write(path: str, text: str) -> None:
    """`open` would buffer; the kernel wants each map in one write."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def give(tree: Path, owner: tuple[int, int] | None) -> None:
    """Make `owner` the owner of `tree` and all in it, unless it is so already. Links are not followed."""
    if owner is None or tree.stat().st_uid == owner[0]:
        return
    for folder, folders, files in os.walk(tree, topdown=False):
        for name in (*folders, *files):
            os.chown(Path(folder, name), *owner, follow_symlinks=False)
    os.chown(tree, *owner)
