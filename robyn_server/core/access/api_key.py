"""The text of an API key: `ahk_<prefix>_<secret><checksum>`.

- prefix: 10 public characters that name the key in lists, logs and revocations.
- secret: 256 random bits in base 62, 43 characters.
- checksum: CRC-32 of everything before it in base 62, 6 characters. It saves a secret scanner false alarms, and a query
  for a mistyped key.

A pattern for secret scanners: `ahk_[a-z2-7]{10}_[0-9A-Za-z]{49}`.

Only the prefix and the SHA-256 of the text are stored. A slow hash protects chosen passwords; 256 random bits cannot be
guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass

KEY_MARK = "ahk_"
KEY_IDENTITY = "key:"
"""Prefix of the identity of a key without a chosen one. No token may claim such a name."""

_PREFIX_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_PREFIX_LENGTH = 10
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_BITS, _SECRET_LENGTH, _CHECKSUM_LENGTH = 256, 43, 6
_FORMAT = re.compile(r"ahk_([a-z2-7]{10})_[0-9A-Za-z]{49}")
_NAMED = re.compile(r"(?:ahk_)?([a-z2-7]{10})(?:_[0-9A-Za-z]{49})?")


@dataclass(frozen=True, slots=True)
class ApiKeyText:
    """`text` is the secret itself: shown once, never stored, never logged."""

    prefix: str
    text: str

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.text.encode()).digest()

    def matches(self, digest: bytes) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self.digest, digest)

    def __repr__(self) -> str:
        return f"ApiKeyText({self.prefix!r})"


def mint(prefix: str | None = None) -> ApiKeyText:
    """Return a new key; with `prefix`, a new secret of that key."""
    prefix = prefix or "".join(secrets.choice(_PREFIX_LETTERS) for _ in range(_PREFIX_LENGTH))
    body = f"{KEY_MARK}{prefix}_{_base62(secrets.randbits(_SECRET_BITS), _SECRET_LENGTH)}"
    return ApiKeyText(prefix, body + _checksum(body))


def find_api_key(text: str) -> ApiKeyText | None:
    """Parse a key. Return None for a malformed text."""
    match = _FORMAT.fullmatch(text)
    if match is None or _checksum(text[:-_CHECKSUM_LENGTH]) != text[-_CHECKSUM_LENGTH:]:
        return None
    return ApiKeyText(match[1], text)


def find_prefix(text: str) -> str | None:
    """The prefix in `text`, which may be a whole key: a leaked key is revoked by pasting it."""
    match = _NAMED.fullmatch(text.strip())
    return None if match is None else match[1]


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
