"""Encrypt with the newest key of a ring, and decrypt with any (AES-256-GCM).

A ciphertext is: one byte of version, eight bytes that name the key, twelve bytes of nonce, the encrypted text, its tag.
NIST SP 800-38D allows 2^32 random nonces for a key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from typing import Any

from robyn_server.core.errors import Misconfigured

KEY_BYTES = 32
_VERSION = b"\x01"
_ID, _NONCE = 8, 12
_HEAD = 1 + _ID + _NONCE


class SecretUnreadable(Exception):
    """No key of the ring opens a ciphertext, or it belongs to another row."""


class KeyRing:
    """`keys`: the newest first, at least one."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._current = key_id(keys[0])
        self._keys = {key_id(key): key for key in keys}

    @property
    def current(self) -> bytes:
        """The id of the key that encrypts."""
        return self._current

    def seal(self, secret: str, bound_to: bytes) -> bytes:
        """Encrypt a text. Only a call of `open` with the same `bound_to` decrypts it."""
        nonce = secrets.token_bytes(_NONCE)
        sealed: bytes = self._cipher(self._current).encrypt(nonce, secret.encode(), bound_to)
        return _VERSION + self._current + nonce + sealed

    def open(self, sealed: bytes, bound_to: bytes) -> str:
        """Raises SecretUnreadable."""
        from cryptography.exceptions import InvalidTag

        identifier = sealing_key(sealed)
        if identifier not in self._keys:
            raise SecretUnreadable(
                f"it was encrypted with the key {identifier.hex()}, which this process does not have"
            )
        nonce, text = sealed[1 + _ID : _HEAD], sealed[_HEAD:]
        try:
            opened: bytes = self._cipher(identifier).decrypt(nonce, text, bound_to)
        except InvalidTag:
            raise SecretUnreadable("it was changed, or belongs to another row") from None
        return opened.decode()

    def has(self, identifier: bytes) -> bool:
        return identifier in self._keys

    def _cipher(self, identifier: bytes) -> Any:
        # imported here: it takes five megabytes, which most processes never need
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._keys[identifier])


def key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"agenthall key id" + key).digest()[:_ID]


def sealing_key(sealed: bytes) -> bytes:
    """The id of the key that a ciphertext was made with. Raises SecretUnreadable for another form."""
    if sealed[:1] != _VERSION or len(sealed) < _HEAD:
        raise SecretUnreadable("it has a form that this version does not know")
    return sealed[1 : 1 + _ID]


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def split_keys(text: str, source: str) -> list[str]:
    """Split keys that are separated by commas or lines. Raises Misconfigured, without the text."""
    found = [each.strip() for each in text.replace("\n", ",").split(",") if each.strip()]
    if not found:
        raise Misconfigured(f"{source} has no key", field=source)
    return found


def read_key(text: str, source: str) -> bytes:
    """Raises Misconfigured, without the text."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise Misconfigured(
            f"{source}: each key must be {KEY_BYTES} bytes in base64; make one with `agenthall credentials new-key`",
            field=source,
        )
    return key
