"""Settings of identity: who may use the server."""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import SecretStr

from robyn_server.core.urls.hosts import LOOPBACK
from robyn_server.settings.field import env
from robyn_server.settings.part import SettingsPart

HS256_SECRET_BYTES = 32
"""RFC 7518, section 3.2: a key at least as long as the hash."""


class AuthMode(StrEnum):
    NONE = "none"
    KEYS = "keys"
    JWT = "jwt"


class IdentitySettings(SettingsPart):
    auth_mode: AuthMode = env(
        "AUTH_MODE", AuthMode.NONE, "`none` (loopback only), `keys` (API keys), or `jwt` (tokens and API keys)."
    )
    jwt_secret: SecretStr | None = env("AUTH_JWT_SECRET", None, "HS256 secret, 32 bytes or more.")
    jwks_url: str | None = env(
        "AUTH_JWKS_URL", None, "URL of the public keys for RS256, ES256 and EdDSA. https, or http on loopback."
    )
    jwt_audience: str | None = env("AUTH_JWT_AUDIENCE", None, "Required `aud` of a token.")
    jwt_issuer: str | None = env("AUTH_JWT_ISSUER", None, "Required `iss` of a token.")
    jwt_organizations_claim: str = env(
        "AUTH_ORGANIZATIONS_CLAIM", "organizations", "Dotted path of the claim that lists organization ids."
    )
    jwt_permissions_claim: str = env(
        "AUTH_PERMISSIONS_CLAIM", "permissions", "Dotted path of the claim that lists permissions."
    )
    membership_query: str | None = env(
        "AUTH_MEMBERSHIP_QUERY",
        None,
        "SQL query on the catalogue that returns organization ids for `$1`, the `sub`. Replaces the claim.",
    )

    dev_tenant: UUID | None = env(
        "AGENTHALL_DEV_TENANT", None, "With AUTH_MODE=none, the organization of instances that name none."
    )
    dev_key: SecretStr | None = env(
        "AGENTHALL_DEV_KEY", None, "With AUTH_MODE=none, the API key that a WebSocket's `auth` must match."
    )

    def _check_tokens(self) -> None:
        secret = None if self.jwt_secret is None else self.jwt_secret.get_secret_value()
        if secret is None and self.jwks_url is None:
            raise ValueError("AUTH_MODE=jwt needs AUTH_JWT_SECRET or AUTH_JWKS_URL")
        if secret is not None and len(secret.encode()) < HS256_SECRET_BYTES:
            raise ValueError("AUTH_JWT_SECRET must have at least 32 bytes")
        if self.jwks_url is not None:
            self._check_jwks(self.jwks_url)
        for name, claim in (
            ("AUTH_ORGANIZATIONS_CLAIM", self.jwt_organizations_claim),
            ("AUTH_PERMISSIONS_CLAIM", self.jwt_permissions_claim),
        ):
            if claim.split(".")[0] == "user_metadata":
                raise ValueError(f"{name}: user_metadata can be edited by its user")

    def _check_jwks(self, url: str) -> None:
        """Require TLS, or an attacker could replace the keys, and an audience or issuer, because keys are shared (RFC
        8725, section 3.9)."""
        parts = urlsplit(url)
        if not parts.hostname or (
            parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK)
        ):
            raise ValueError("AUTH_JWKS_URL must be an https URL, or http on loopback")
        if self.jwt_audience is None and self.jwt_issuer is None:
            raise ValueError("AUTH_JWKS_URL needs AUTH_JWT_AUDIENCE or AUTH_JWT_ISSUER")
