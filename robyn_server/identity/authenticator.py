"""Authenticate requests: credentials become a Principal, once per request.

Rules (names of headers are lower case)
  1. `X-API-Key: ahk_…` or `Authorization: Bearer ahk_…` is an API key.
  2. `Authorization: Bearer <anything else>` is a token (AUTH_MODE=jwt).
  3. Two different credentials are refused.
  4. An X-API-Key in a foreign format is ignored beside a bearer credential, because LangGraph's SDK sends
     LANGSMITH_API_KEY from the environment. Alone it is refused.
RFC 6750 (bearer tokens).
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import structlog

from robyn_server.concurrency.ttl_cache import TtlCache
from robyn_server.core.access.api_key import KEY_MARK
from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.errors import BadRequest, Invalid, Misconfigured, Unauthenticated, Unavailable
from robyn_server.core.ids import find_uuid
from robyn_server.settings import AuthMode, Settings
from robyn_server.storage.api_keys import ApiKeys
from robyn_server.storage.memberships import read_organizations
from robyn_server.storage.postgres.pools import Pool

from .api_key_verifier import ApiKeyVerifier
from .jwks import Jwks
from .loopback import LoopbackGuard
from .tokens import Tokens

ORGANIZATION_HEADER = "x-organization-id"
MEMBERSHIP_SECONDS = 60.0
MAX_SUBJECTS = 10_000

_log = structlog.get_logger(__name__)


class Authenticator:
    """Raises Misconfigured for settings under which no credential could be verified.

    Before `open`, API keys and the membership query raise Unavailable.
    """

    def __init__(self, settings: Settings) -> None:
        self._mode = settings.auth_mode
        self._loopback_guard = LoopbackGuard(settings.cors_origins)
        self._query = settings.membership_query
        self._api_keys: ApiKeyVerifier | None = None
        self._catalogue: Pool | None = None
        self._jwks = Jwks(settings.jwks_url) if settings.jwks_url is not None else None
        self._members = TtlCache(self._read_members, seconds=MEMBERSHIP_SECONDS, max_size=MAX_SUBJECTS)
        membership = None if self._query is None else self._members.get
        self._tokens = Tokens(settings, self._jwks, membership) if self._mode is AuthMode.JWT else None

    def open(self, system: Pool, catalogue: Pool) -> None:
        """`system` works as agenthall_system; `catalogue` is where AUTH_MEMBERSHIP_QUERY runs.

        The caller closes both.
        """
        self._api_keys = ApiKeyVerifier(ApiKeys(system))
        self._catalogue = catalogue

    async def stop(self) -> None:
        if self._api_keys is not None:
            await self._api_keys.stop()
        if self._jwks is not None:
            await self._jwks.stop()

    async def identify(self, credentials: Mapping[str, str] | str, organization: UUID | None = None) -> Principal:
        """Return the principal of `credentials`: headers (lower-case names), or a bare API key or token.

        `organization`: the one to act for; membership is verified. Raises Unauthenticated, BadRequest (contradictory
        credentials), Forbidden (a foreign organization), Unavailable. In AUTH_MODE=none every local caller is `local`,
        and a request from another machine is Forbidden.
        """
        if self._mode is AuthMode.NONE:
            if not isinstance(credentials, str):
                self._loopback_guard.check(credentials)
            principal = LOCAL
        else:
            principal = await self._verified(extract_credential(credentials))
        return principal if organization is None else principal.in_organization(organization, named_by="tenant_id")

    def forget_key(self, prefix: str) -> None:
        """Drop a cached key: it was revoked."""
        if self._api_keys is not None:
            self._api_keys.forget(prefix)

    def forget_keys(self) -> None:
        """Drop all cached keys: notifications may have been missed."""
        if self._api_keys is not None:
            self._api_keys.forget_all()

    async def _verified(self, credential: str | None) -> Principal:
        if credential is not None and credential.startswith(KEY_MARK):
            return await self._api_key_verifier().principal(credential)
        if self._tokens is None:
            raise Unauthenticated(
                "This server requires an API key.", code="key_missing" if not credential else "key_invalid"
            )
        if credential is None:
            raise Unauthenticated("This server requires a bearer token or an API key.", code="token_missing")
        return await self._tokens.principal(credential)

    def _api_key_verifier(self) -> ApiKeyVerifier:
        if self._api_keys is None:
            raise Unavailable("The server is starting; try again.", code="starting")
        return self._api_keys

    async def _read_members(self, subject: str) -> frozenset[UUID]:
        if self._catalogue is None or self._query is None:
            raise Unavailable("The server is starting; try again.", code="starting")
        try:
            return await read_organizations(self._catalogue, self._query, subject)
        except (Misconfigured, Unavailable) as error:
            # A failed lookup must not look like a user without organizations.
            _log.error("organizations are not known", reason=error.detail)
            raise Unavailable(
                "Your organizations cannot be looked up now; try again.", code="membership_unavailable"
            ) from None


def named_organization(headers: Mapping[str, str]) -> UUID | None:
    """The organization that a request names; membership is not checked here. Raises Invalid."""
    named = headers.get(ORGANIZATION_HEADER)
    if named is None:
        return None
    organization = find_uuid(named.strip())
    if organization is None:
        raise Invalid("X-Organization-Id: must be a UUID", field="X-Organization-Id")
    return organization


def extract_credential(credentials: Mapping[str, str] | str) -> str | None:
    """Return the credential by the rules above, or None.

    Raises BadRequest for two credentials, Unauthenticated for a foreign API key.
    """
    if isinstance(credentials, str):
        return credentials.strip() or None
    key, bearer = credentials.get("x-api-key", "").strip(), _bearer(credentials.get("authorization", ""))
    if bearer is not None and key.startswith(KEY_MARK) and key != bearer:
        raise BadRequest(
            "X-API-Key and Authorization name two different credentials; send one of them.",
            code="credentials_contradict",
        )
    if bearer is not None:
        return bearer
    if key and not key.startswith(KEY_MARK):
        raise Unauthenticated("The API key is not valid.", code="key_invalid")
    return key or None


def _bearer(authorization: str) -> str | None:
    scheme, _, token = authorization.strip().partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None
