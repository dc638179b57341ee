"""Tokens with which a client finds its registration again without knowing its id.

    base64url( registration (16) | organization (16) | HMAC-SHA-256 over both, and the purpose, cut to 16 )

The key is made by the database and shared by all replicas. A token names a registration and proves nothing about its
bearer: the credentials of the socket decide whether the bearer belongs to the organization. RFC 2104 (HMAC).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from uuid import UUID

from robyn_server.core.errors import Invalid

_PURPOSE = b"agenthall resume 1"
_IDS = 32
_LENGTH = 48


class ResumeTokens:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, organization_id: UUID, registration: UUID) -> str:
        ids = registration.bytes + organization_id.bytes
        return base64.urlsafe_b64encode(ids + self._proof(ids)).decode()

    def read(self, token: str) -> tuple[UUID, UUID]:
        """Return (organization id, registration id). Raises Invalid for a token that this server did not issue."""
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            raw = b""
        ids, proof = raw[:_IDS], raw[_IDS:]
        if len(raw) != _LENGTH or not hmac.compare_digest(proof, self._proof(ids)):
            raise Invalid(
                "resume_token: not a token of this server; register with agent_id and instance_id", field="resume_token"
            )
        return UUID(bytes=ids[16:]), UUID(bytes=ids[:16])

    def _proof(self, ids: bytes) -> bytes:
        return hmac.new(self._key, _PURPOSE + ids, hashlib.sha256).digest()[: _LENGTH - _IDS]
