"""Credentials in headers, made into a Principal, once per request.

What a user can edit (`user_metadata`) is never read for rights. RFC 6750 (bearer tokens), RFC 7519 (JWT), RFC 8725 (its pitfalls).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from robyn_server.core.errors import Invalid, Misconfigured, Unauthenticated
from robyn_server.core.ids import find_uuid
from robyn_server.core.principal import LOCAL, SYSTEM_OWNER, Principal
from robyn_server.settings import AuthMode, Settings

Authenticate = Callable[[Mapping[str, str]], Principal | Awaitable[Principal]]
"""From lower-cased headers. Raises Unauthenticated, Forbidden, or Invalid for a malformed X-Organization-Id."""

ORGANIZATION_HEADER = "x-organization-id"
ALGORITHMS = ["HS256"]
_USER_EDITABLE = "user_metadata"
LONGEST_SUBJECT = 255
_RESERVED = frozenset({SYSTEM_OWNER, LOCAL.identity})
"""Names of our own: a token that claims one would own the server's rows."""


def authenticate(settings: Settings) -> Authenticate:
    """The function for the configured mode. Raises Misconfigured when rights would come from what users can edit."""
    if settings.auth_mode is AuthMode.NONE:
        return lambda headers: _acting(LOCAL, headers)
    verify = _verifier(settings)
    return lambda headers: _acting(verify(_bearer(headers)), headers)


def _acting(principal: Principal, headers: Mapping[str, str]) -> Principal:
    named = headers.get(ORGANIZATION_HEADER)
    if not named:
        return principal
    organization = find_uuid(named.strip())
    if organization is None:
        raise Invalid("X-Organization-Id: must be a UUID", field="X-Organization-Id")
    return principal.in_organization(organization)


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("This server asks for a bearer token.", code="token_missing")
    return token.strip()


def _verifier(settings: Settings) -> Callable[[str], Principal]:
    if settings.jwt_secret is None:
        raise Misconfigured("AUTH_MODE=jwt needs AUTH_JWT_SECRET", field="AUTH_JWT_SECRET")
    _refuse_user_editable(settings)
    decode = _decoder(
        settings.jwt_secret.get_secret_value(), audience=settings.jwt_audience, issuer=settings.jwt_issuer
    )
    organizations, permissions = settings.jwt_organizations_claim, settings.jwt_permissions_claim

    def verify(token: str) -> Principal:
        claims = decode(token)
        return Principal(
            _identity(claims),
            frozenset(_organizations(_claim(claims, organizations), organizations)),
            frozenset(_permissions(_claim(claims, permissions), permissions)),
        )

    return verify


def _refuse_user_editable(settings: Settings) -> None:
    for claim in (settings.jwt_organizations_claim, settings.jwt_permissions_claim):
        if claim.split(".")[0] == _USER_EDITABLE:
            raise Misconfigured(f"{claim}: users can edit their own user_metadata; rights must not come from it")


def _decoder(secret: str, audience: str | None, issuer: str | None) -> Callable[[str], dict[str, Any]]:
    import jwt  # here, because it brings cryptography with it, which AUTH_MODE=none has no need for

    options: Any = {"require": ["exp", "sub"], "verify_aud": audience is not None}

    def decode(token: str) -> dict[str, Any]:
        try:
            return jwt.decode(token, secret, ALGORITHMS, options=options, audience=audience, issuer=issuer)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired.", code="token_expired") from None
        except jwt.InvalidTokenError as error:
            raise Unauthenticated(f"The token is not valid: {error}", code="token_invalid") from None

    return decode


def _identity(claims: Mapping[str, Any]) -> str:
    subject = claims["sub"]
    if not isinstance(subject, str) or not subject.strip() or subject in _RESERVED:
        raise _malformed("sub", "must name a user")
    if len(subject) > LONGEST_SUBJECT or not subject.isprintable():
        raise _malformed("sub", f"must be at most {LONGEST_SUBJECT} printable characters")
    return subject


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
