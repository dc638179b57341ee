"""Content-Security-Policy: https://www.w3.org/TR/CSP3/"""

from __future__ import annotations

import base64
import hashlib


def source_hash(text: str) -> str:
    """Return the source expression that allows the inline script or style `text` (section 6.7.3)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
