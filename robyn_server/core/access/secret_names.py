"""Names that say that their value is a secret.

Values under such names are refused in a run's configuration, which is stored and copied into checkpoints as it is.
Refusing a harmless name would be in the way, so the rule is narrower than that of `mcp.is_secret_name`. A name that
is refused here is redacted there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_ENDINGS = (
    *("password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "bearer", "jwt"),
    *("authorization", "credential", "credentials", "cookie"),
)
"""A word with such an ending is a secret's: `password`, `usertoken`."""
_KEYS = frozenset({"api", "access", "private", "signing", "encryption", "ssh", "master", "account"})
"""With `key` or `keys` behind it, such a word is a secret's: `api_key`."""
_COUNTED = frozenset({"limit", "budget", "count", "usage", "id", "type", "name", "url", "endpoint", "ids"})
"""The last word of names that speak about a secret: `token_limit`, `secret_name`."""


def is_secret_name(name: str) -> bool:
    """Whether a value of this name is a secret: `user_token`, `X-Api-Key`; not `max_tokens`, `key_id`."""
    words = [word.lower() for word in _WORD.findall(name)]
    while words and words[-1].isdecimal():
        words.pop()
    if not words or words[-1] in _COUNTED:
        return False
    keys = pairwise(words)
    return any(word.endswith(_ENDINGS) for word in words) or any(
        first in _KEYS and second in {"key", "keys"} for first, second in keys
    )


def find_secret(value: Any, path: str) -> str | None:
    """The path of the first text under a secret's name; None without one."""
    return next(_secrets(value, path), None)


def _secrets(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, member in value.items():
            if is_secret_name(name) and _has_text(member):
                yield f"{path}.{name}"
            else:
                yield from _secrets(member, f"{path}.{name}")
    elif isinstance(value, list):
        for each in value:
            yield from _secrets(each, path)


def _has_text(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_text, value.values()))
    return any(map(_has_text, value)) if isinstance(value, list) else isinstance(value, str) and bool(value)
