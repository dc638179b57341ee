"""From credentials to a Principal, for every process that is spoken to. Made once per request; never kept in a context variable.

Where credentials are looked for (names of headers are lower case)
  1. `X-API-Key: ahk_…`, or `Authorization: Bearer ahk_…`: an API key.
  2. `Authorization: Bearer <anything else>`: a token (AUTH_MODE=jwt).
  3. Both, and they are not the same: refused, for it is not ours to choose who is asking.
  4. An X-API-Key that is not of our make counts as none beside a bearer credential, since LangGraph's SDK sends LANGSMITH_API_KEY from
     its surroundings unasked; alone it is refused.
RFC 6750 (bearer tokens).
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import structlog

from robyn_server.core.api_key import MARK
from robyn_server.core.errors import BadRequest, Invalid, Misconfigured, Unauthenticated, Unavailable
from robyn_server.core.ids import find_uuid
from robyn_server.core.principal import LOCAL, Principal
from robyn_server.settings import AuthMode, Settings
from robyn_server.storage.api_keys import ApiKeys
from robyn_server.storage.database import Pool
from robyn_server.storage.membership import read_organizations

from .jwks import Jwks
from .key_ring import KeyRing
from .own_machine import OwnMachine
from .remembered import Remembered
from .tokens import Tokens

ORGANIZATION_HEADER = "x-organization-id"
MEMBERSHIP_SECONDS = 60.0
MOST_SUBJECTS = 10_000

_log = structlog.get_logger(__name__)


class Identity:
    """Raises Misconfigured for settings under which nobody could be identified.

    Before `open` it knows no API key and asks no membership query: both raise Unavailable.
    """

    def __init__(self, settings: Settings) -> None:
        self._mode = settings.auth_mode
        self._own_machine = OwnMachine(settings.cors_origins)
        self._query = settings.membership_query
        self._ring: KeyRing | None = None
        self._catalogue: Pool | None = None
        self._jwks = Jwks(settings.jwks_url) if settings.jwks_url is not None else None
        self._members = Remembered(self._read_members, seconds=MEMBERSHIP_SECONDS, most=MOST_SUBJECTS)
        membership = None if self._query is None else self._members.get
        self._tokens = Tokens(settings, self._jwks, membership) if self._mode is AuthMode.JWT else None

    def open(self, system: Pool, catalogue: Pool) -> None:
        """`system` works as agenthall_system; `catalogue` is where AUTH_MEMBERSHIP_QUERY runs. Their owner closes them."""
        self._ring = KeyRing(ApiKeys(system))
        self._catalogue = catalogue

    async def stop(self) -> None:
        if self._ring is not None:
            await self._ring.stop()
        if self._jwks is not None:
            await self._jwks.stop()

    async def identify(self, credentials: Mapping[str, str] | str, organization: UUID | None = None) -> Principal:
        """Who presents `credentials`: headers (lower-case names), or a bare API key or token.

        `organization`: the one that they say they act for; verified. Raises Unauthenticated, BadRequest (contradictory credentials),
        Forbidden (a foreign organisation), Unavailable. In AUTH_MODE=none everybody is `local`, whatever they present; but what
        comes from another machine is Forbidden.
        """
        if self._mode is AuthMode.NONE:
            if not isinstance(credentials, str):
                self._own_machine.check(credentials)
            principal = LOCAL
        else:
            principal = await self._verified(presented(credentials))
        return principal if organization is None else principal.in_organization(organization, named_by="tenant_id")

    def forget_key(self, prefix: str) -> None:
        """It was revoked just now."""
        if self._ring is not None:
            self._ring.forget(prefix)

    def forget_keys(self) -> None:
        """Notifications may have been missed."""
        if self._ring is not None:
            self._ring.forget_all()

    async def _verified(self, credential: str | None) -> Principal:
        if credential is not None and credential.startswith(MARK):
            return await self._key_ring().principal(credential)
        if self._tokens is None:
            raise Unauthenticated(
                "This server asks for an API key.", code="key_missing" if not credential else "key_invalid"
            )
        if credential is None:
            raise Unauthenticated("This server asks for a bearer token or an API key.", code="token_missing")
        return await self._tokens.principal(credential)

    def _key_ring(self) -> KeyRing:
        if self._ring is None:
            raise Unavailable("The server is starting; try again.", code="starting")
        return self._ring

    async def _read_members(self, subject: str) -> frozenset[UUID]:
        if self._catalogue is None or self._query is None:
            raise Unavailable("The server is starting; try again.", code="starting")
        try:
            return await read_organizations(self._catalogue, self._query, subject)
        except (Misconfigured, Unavailable) as error:
            # Nobody is told that they belong nowhere because we could not ask.
            _log.error("organizations are not known", reason=error.detail)
            raise Unavailable(
                "Your organizations cannot be looked up now; try again.", code="membership_unavailable"
            ) from None


def named_organization(headers: Mapping[str, str]) -> UUID | None:
    """The organisation that a request says it acts for; whether it may is for its principal. Raises Invalid."""
    named = headers.get(ORGANIZATION_HEADER)
    if not named:
        return None
    organization = find_uuid(named.strip())
    if organization is None:
        raise Invalid("X-Organization-Id: must be a UUID", field="X-Organization-Id")
    return organization


def presented(credentials: Mapping[str, str] | str) -> str | None:
    """The one credential, by the rules above; None for none. Raises BadRequest when there are two, Unauthenticated for a key that
    is not of our make."""
    if isinstance(credentials, str):
        return credentials.strip() or None
    key, bearer = credentials.get("x-api-key", "").strip(), _bearer(credentials.get("authorization", ""))
    if bearer is not None and key.startswith(MARK) and key != bearer:
        raise BadRequest(
            "X-API-Key and Authorization name two different credentials; send one of them.",
            code="credentials_contradict",
        )
    if bearer is not None:
        return bearer
    if key and not key.startswith(MARK):
        raise Unauthenticated("The API key is not valid.", code="key_invalid")
    return key or None


def _bearer(authorization: str) -> str | None:
    scheme, _, token = authorization.strip().partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None
