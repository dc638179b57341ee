"""The key ring of a process: from AGENTHALL_SECRET_KEY, else from a file that only its owner may read.

A key of the variable may be a ciphertext that a key management service decrypts (`key_service.py`). One of the file may
not, because files are read by the event loop while runs go on.

The file is made when a key is first needed. A process that meets a key that it does not know reads the file again:
another process may have added one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from pydantic import SecretStr

from robyn_server.core.errors import Misconfigured

from .key_ring import KeyRing, SecretUnreadable, new_key, read_key, sealing_key, split_keys
from .key_service import is_wrapped, unwrap

VARIABLE = "AGENTHALL_SECRET_KEY"
FILE_NAME = "secret-key"


class Keys:
    """`given`: the value of AGENTHALL_SECRET_KEY. `folder`: where the file is without it."""

    def __init__(self, given: SecretStr | None, folder: Path) -> None:
        self._given = given
        self.path = folder / FILE_NAME
        self._ring: KeyRing | None = None

    @property
    def are_in_file(self) -> bool:
        return self._given is None

    def ring(self) -> KeyRing:
        """Raises Misconfigured for a key that cannot be used, Unavailable where its service does not answer."""
        if self._ring is None:
            self._ring = KeyRing(self._read())
        return self._ring

    def existing(self) -> KeyRing | None:
        """The ring, without making one. Raises Misconfigured."""
        return None if self.are_in_file and not self.path.exists() else self.ring()

    def seal(self, secret: str, bound_to: bytes) -> bytes:
        return self.ring().seal(secret, bound_to)

    def open(self, sealed: bytes, bound_to: bytes) -> str:
        """Raises SecretUnreadable, Misconfigured."""
        if not self.ring().has(sealing_key(sealed)) and self.are_in_file:
            self._ring = None
        return self.ring().open(sealed, bound_to)

    def add_to_file(self) -> None:
        """Put a new key in front of those of the file. Raises Misconfigured."""
        text = self.path.read_text(encoding="ascii") if self.path.exists() else ""
        if text:
            _check_private(self.path)
        _write(self.path, f"{new_key()}\n{text}", replace=True)
        self._ring = None

    def _read(self) -> list[bytes]:
        if self._given is not None:
            keys = split_keys(self._given.get_secret_value(), VARIABLE)
            return [(unwrap if is_wrapped(each) else read_key)(each, VARIABLE) for each in keys]
        try:
            if not self.path.exists():
                _write(self.path, f"{new_key()}\n", replace=False)
            _check_private(self.path)
            keys = split_keys(self.path.read_text(encoding="ascii"), str(self.path))
            if any(map(is_wrapped, keys)):
                raise Misconfigured(f"{self.path}: a key of AWS KMS belongs into {VARIABLE}", field=VARIABLE)
            return [read_key(each, str(self.path)) for each in keys]
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(
                f"the key file {self.path} cannot be used ({type(error).__name__}); set {VARIABLE}", field=VARIABLE
            ) from None


def _check_private(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise Misconfigured(f"others may read {path} (mode {mode:04o}); run `chmod 600` on it", field=VARIABLE)


def _write(path: Path, text: str, *, replace: bool) -> None:
    """Write the file at once. Without `replace`, the file of a process that was faster stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


__all__ = ["FILE_NAME", "VARIABLE", "Keys", "SecretUnreadable"]
