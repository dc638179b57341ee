"""Verify JSON Web Tokens. RFC 7519 (JWT), RFC 8725 (best practices).

Rules
  1. Permissions never come from a claim that users can edit (`user_metadata`).
  2. The algorithm decides how a token is verified: HS256 with the secret, others with a key of the JWKS, never with the
     other's.
  3. Organizations come from a claim or, where one is configured, only from the membership query.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from robyn_server.core.access.api_key import KEY_IDENTITY
from robyn_server.core.access.principal import LOCAL, SYSTEM_OWNER, Principal
from robyn_server.core.errors import Misconfigured, Unauthenticated
from robyn_server.core.ids import find_uuid
from robyn_server.settings import Settings

from .jwks import ALGORITHMS, Jwks

HS256 = "HS256"
MAX_SUBJECT_LENGTH = 255
MAX_TOKEN_LENGTH = 16 * 1024
_USER_EDITABLE = "user_metadata"

Organizations = Callable[[str], Awaitable[frozenset[UUID]]]
"""The organizations of a subject. Raises Unavailable; an empty set means that there are none."""


class Tokens:
    """Raises Misconfigured when permissions would come from a user-editable claim, or no token could be verified."""

    def __init__(self, settings: Settings, jwks: Jwks | None, membership: Organizations | None) -> None:
        _refuse_user_editable(settings)
        if settings.jwt_secret is None and jwks is None:
            raise Misconfigured("AUTH_MODE=jwt needs AUTH_JWT_SECRET or AUTH_JWKS_URL", field="AUTH_JWT_SECRET")
        self._secret = None if settings.jwt_secret is None else settings.jwt_secret.get_secret_value()
        self._jwks = jwks
        self._membership = membership
        self._audience, self._issuer = settings.jwt_audience, settings.jwt_issuer
        self._organizations_claim = settings.jwt_organizations_claim
        self._permissions_claim = settings.jwt_permissions_claim

    async def principal(self, token: str) -> Principal:
        """Verify a token.

        Raises Unauthenticated (token_expired, token_invalid), Unavailable while it cannot be verified.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            raise _invalid("it is too long")
        claims = await self._verified(token)
        identity = _identity(claims)
        return Principal(
            identity,
            await self._organizations(identity, claims),
            frozenset(_permissions(_claim(claims, self._permissions_claim), self._permissions_claim)),
            expires_at=_expiry(claims),
            token=token,
        )

    async def _organizations(self, identity: str, claims: Mapping[str, Any]) -> frozenset[UUID]:
        if self._membership is not None:
            return await self._membership(identity)
        return frozenset(_organizations(_claim(claims, self._organizations_claim), self._organizations_claim))

    async def _verified(self, token: str) -> dict[str, Any]:
        import jwt  # imported here: it loads cryptography, which AUTH_MODE=none does not need

        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise _invalid(str(error)) from None
        algorithm, key = await self._key(header)
        return self._decoded(token, key, algorithm)

    async def _key(self, header: Mapping[str, Any]) -> tuple[str, Any]:
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm == HS256 and self._secret is not None:
            return HS256, self._secret
        if self._jwks is not None and isinstance(algorithm, str) and algorithm in ALGORITHMS:
            return algorithm, await self._jwks.key(kid, algorithm)
        raise _invalid("its algorithm is not accepted here")

    def _decoded(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        import jwt

        options: Any = {
            "require": ["exp", "sub"],
            "verify_aud": self._audience is not None,
            "enforce_minimum_key_length": True,
        }
        try:
            return jwt.decode(token, key, [algorithm], options=options, audience=self._audience, issuer=self._issuer)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired.", code="token_expired") from None
        except (jwt.InvalidTokenError, jwt.InvalidKeyError) as error:
            raise _invalid(str(error)) from None


def _refuse_user_editable(settings: Settings) -> None:
    for claim in (settings.jwt_organizations_claim, settings.jwt_permissions_claim):
        if claim.split(".")[0] == _USER_EDITABLE:
            raise Misconfigured(f"{claim}: users can edit their own user_metadata; permissions must not come from it")


def is_reserved(identity: str) -> bool:
    """Whether only the server uses this identity: a token that claimed it would own the server's rows, or those of a
    key."""
    return identity in {SYSTEM_OWNER, LOCAL.identity} or identity.startswith(KEY_IDENTITY)


def _identity(claims: Mapping[str, Any]) -> str:
    subject = claims["sub"]
    if not isinstance(subject, str) or not subject.strip() or is_reserved(subject):
        raise _malformed("sub", "must name a user")
    if len(subject) > MAX_SUBJECT_LENGTH or not subject.isprintable():
        raise _malformed("sub", f"must be at most {MAX_SUBJECT_LENGTH} printable characters")
    return subject


def _expiry(claims: Mapping[str, Any]) -> datetime | None:
    """The verified `exp`; None when it is beyond the range of a date."""
    try:
        return datetime.fromtimestamp(int(claims["exp"]), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _claim(claims: Mapping[str, Any], dotted: str) -> Any:
    """The claim under its literal name (`https://a.example/orgs`), else along the dots; None without one."""
    if dotted in claims:
        return claims[dotted]
    value: Any = claims
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _organizations(value: Any, claim: str) -> list[UUID]:
    if value is None:
        return []
    found = (
        [find_uuid(item) if isinstance(item, str) else None for item in value] if isinstance(value, list) else [None]
    )
    if None in found:
        raise _malformed(claim, "must be a list of UUIDs")
    return [item for item in found if item is not None]


def _permissions(value: Any, claim: str) -> list[str]:
    """A list of strings, or one string of words as in OAuth's `scope` (RFC 8693, section 4.2)."""
    if value is None:
        return []
    if isinstance(value, str):
        return value.split()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _malformed(claim, "must be a list of strings")
    return value


def _malformed(claim: str, rule: str) -> Unauthenticated:
    return Unauthenticated(f"The token's claim {claim!r} {rule}.", code="token_invalid", field=claim)


def _invalid(why: str) -> Unauthenticated:
    return Unauthenticated(f"The token is not valid: {why}", code="token_invalid")
