"""Read a credential of the operator's machine: a variable of the environment, or a file."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

MAX_LENGTH = 16_384


class CredentialUnusable(Exception):
    """`str(error)` ends a sentence for people, and contains no secret."""


def read_variable(name: str, own: Collection[str]) -> str:
    """`own`: variables of the server itself, whose values go nowhere. Raises CredentialUnusable."""
    if name in own:
        raise CredentialUnusable(f"{name} is a setting of this server, which is given to nobody")
    return _usable(os.environ.get(name), f"the variable {name} of its credential is not set")


def read_file(path: Path, refused: Path) -> str:
    """Read at each use, so that a replaced file counts. `refused`: the file of keys. Raises CredentialUnusable."""
    try:
        if path.resolve() == refused.resolve():
            raise CredentialUnusable("the file of its credential is that of the server's keys")
        with path.open(encoding="utf-8") as file:
            text: str | None = file.read(MAX_LENGTH + 1)
    except (OSError, UnicodeDecodeError):
        text = None
    return _usable(text, f"the file {path} of its credential cannot be read")


def _usable(text: str | None, missing: str) -> str:
    value = (text or "").strip()
    if not value:
        raise CredentialUnusable(missing)
    if len(value) > MAX_LENGTH or not value.isprintable() or not value.isascii():
        raise CredentialUnusable(
            "its credential cannot be a header: too long, or other characters than printable ASCII"
        )
    return value
