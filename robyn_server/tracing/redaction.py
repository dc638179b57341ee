"""Takes secrets out of the texts of errors, the only texts of others that spans have by default."""

from __future__ import annotations

import functools
import os
import re

_SHORTEST = 8
"""Characters of a value of the environment that is taken for a secret. A shorter one is as likely to be a word."""

_NAMES = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|HEADERS|DATABASE_URL|DIRECT_URL|_DSN)", re.IGNORECASE)
_FORMS = re.compile(
    r"(?P<scheme>\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}"
    r"|\b(?:sk|pk|rk|ghp|gho|ghs|lsv2|xox[abp])[-_][\w-]{8,}"
    r"|\bahk_[\w-]{8,}"
    r"|(?P<url>\w+://[^\s/:@]*:)[^\s/@]+(?=@)",
    re.IGNORECASE,
)
_REDACTED = "[redacted]"


def redacted(text: str) -> str:
    """`text` without the secrets of this process' environment, and without what has the form of a key or a token."""
    for secret in _secrets():
        text = text.replace(secret, _REDACTED)
    return _FORMS.sub(lambda found: f"{found['scheme'] or found['url'] or ''}{_REDACTED}", text)


@functools.cache
def _secrets() -> tuple[str, ...]:
    """Values of the environment whose names say that they are secret, longest first."""
    found = {value for name, value in os.environ.items() if _NAMES.search(name) and len(value) >= _SHORTEST}
    return tuple(sorted(found, key=len, reverse=True))
