"""Tokens made into principals. RFC 7519 (JWT), RFC 8725 (its pitfalls).

Rules
  1. What a user can edit (`user_metadata`) is never read for rights.
  2. The algorithm decides what verifies a token: HS256 the secret, the others a key of the JWKS. Neither is ever tried with the other's.
  3. Organisations come from a claim, or, where one is configured, from the membership query and nowhere else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from robyn_server.core.api_key import KEY_IDENTITY
from robyn_server.core.errors import Misconfigured, Unauthenticated
from robyn_server.core.ids import find_uuid
from robyn_server.core.principal import LOCAL, SYSTEM_OWNER, Principal
from robyn_server.settings import Settings

from .jwks import ALGORITHMS, Jwks

HS256 = "HS256"
LONGEST_SUBJECT = 255
LONGEST_TOKEN = 16 * 1024
_USER_EDITABLE = "user_metadata"

Organizations = Callable[[str], Awaitable[frozenset[UUID]]]
"""Of a subject. Raises Unavailable; never answers "none" for want of an answer."""


class Tokens:
    """Raises Misconfigured when rights would come from what users can edit, or nothing could verify a token."""

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
        """Raises Unauthenticated: token_expired, token_invalid; Unavailable while nobody can tell."""
        if len(token) > LONGEST_TOKEN:
            raise _invalid("it is too long")
        claims = await self._verified(token)
        identity = _identity(claims)
        return Principal(
            identity,
            await self._organizations(identity, claims),
            frozenset(_permissions(_claim(claims, self._permissions_claim), self._permissions_claim)),
            expires_at=_expiry(claims),
        )

    async def _organizations(self, identity: str, claims: Mapping[str, Any]) -> frozenset[UUID]:
        if self._membership is not None:
            return await self._membership(identity)
        return frozenset(_organizations(_claim(claims, self._organizations_claim), self._organizations_claim))

    async def _verified(self, token: str) -> dict[str, Any]:
        import jwt  # here, because it brings cryptography with it, which AUTH_MODE=none has no need for

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
            raise Misconfigured(f"{claim}: users can edit their own user_metadata; rights must not come from it")


def is_reserved(identity: str) -> bool:
    """Names of our own: who claimed one would own the server's rows, or a key's."""
    return identity in {SYSTEM_OWNER, LOCAL.identity} or identity.startswith(KEY_IDENTITY)


def _identity(claims: Mapping[str, Any]) -> str:
    subject = claims["sub"]
    if not isinstance(subject, str) or not subject.strip() or is_reserved(subject):
        raise _malformed("sub", "must name a user")
    if len(subject) > LONGEST_SUBJECT or not subject.isprintable():
        raise _malformed("sub", f"must be at most {LONGEST_SUBJECT} printable characters")
    return subject


def _expiry(claims: Mapping[str, Any]) -> datetime | None:
    """`exp`, which is verified already. None: after the last year that a date can name."""
    try:
        return datetime.fromtimestamp(int(claims["exp"]), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _claim(claims: Mapping[str, Any], dotted: str) -> Any:
    """The claim under its literal name (`https://a.example/orgs`), else along the dots; None when it is not there."""
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
