"""Authorizations: the user is sent to the authorization server, and comes back with a code. OAuth 2.1, section 4.1."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
import structlog

from robyn_server.core.errors import BadRequest, Forbidden
from robyn_server.core.mcp_credentials import CredentialEntry
from robyn_server.credentials.key_ring import SecretUnreadable
from robyn_server.credentials.keys import Keys
from robyn_server.credentials.sealing import authorization_binding, connection_binding
from robyn_server.credentials.token_requests import IssuedToken, TokenRefused, request_token
from robyn_server.storage.mcp.connections import McpConnections

from .clients import OAuthClients, client_fields, client_of
from .discovery import AuthorizationServer, discover

if TYPE_CHECKING:
    import httpx

AUTHORIZATION_SECONDS = 600
MAX_ANSWER = 4096
_INVALID = "This authorization is unknown, was used already, or has expired. Start it again."
_log = structlog.get_logger(__name__)

OpenClient = Callable[[], "httpx.AsyncClient"]


@dataclass(frozen=True, slots=True)
class AuthorizationAnswer:
    """The parameters with which the authorization server sends the user back."""

    state: str = field(repr=False)
    code: str | None = field(default=None, repr=False)
    error: str | None = None
    issuer: str | None = None


@dataclass(frozen=True, slots=True)
class Connected:
    owner_id: str
    url: str


class Authorizations:
    """`on_page`: a page of the product takes the answer, and posts it with the user's credentials."""

    def __init__(
        self, stored: McpConnections, keys: Keys, clients: OAuthClients, open_client: OpenClient, *, on_page: bool
    ) -> None:
        self._stored = stored
        self._keys = keys
        self._clients = clients
        self._open_client = open_client
        self._on_page = on_page

    async def begin(self, entry: CredentialEntry, secret: str, owner_id: str, organization_id: UUID | None) -> str:
        """The URL that the user opens. Raises CredentialUnusable, TokenRefused, Misconfigured, Unavailable."""
        async with self._open_client() as http:
            server = await discover(http, entry.url)
            client = await self._clients.client(http, server, entry, secret)
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        kept = {
            "verifier": verifier,
            "client": client_fields(client),
            "server": {name: getattr(server, name) for name in AuthorizationServer.__slots__},
            "redirect_uri": self._clients.redirect_uri,
        }
        digest = _digest(state)
        binding = authorization_binding(digest, owner_id, organization_id, entry.url)
        sealed = self._keys.seal(orjson.dumps(kept).decode(), binding)
        await self._stored.begin(
            digest, owner_id, organization_id, entry.url, sealed, timedelta(seconds=AUTHORIZATION_SECONDS)
        )
        return self._url(server, entry, str(client.client_id), state, verifier)

    async def complete(self, answer: AuthorizationAnswer, identity: str | None) -> Connected:
        """Exchange the code for tokens, and keep them. `identity`: of an authenticated caller.

        Raises BadRequest, Forbidden (another user's, or an authorization that needs its user), Unavailable.
        """
        if identity is None and self._on_page:
            raise Forbidden(
                "Post the answer to /connections/callback with the user's credentials.", code="user_required"
            )
        waiting = await self._stored.redeem(_digest(answer.state))
        if waiting is None:
            raise BadRequest(_INVALID, code="authorization_invalid", field="state")
        if identity is not None and identity != waiting.owner_id:
            raise Forbidden("This authorization is another user's.", code="authorization_of_another")
        kept = self._kept(waiting.sealed, authorization_binding(*waiting[:4]))
        issued = await self._redeemed(answer, kept)
        await self._connect(waiting.owner_id, waiting.organization_id, waiting.url, kept, issued)
        return Connected(waiting.owner_id, waiting.url)

    def _kept(self, sealed: bytes, binding: bytes) -> dict[str, Any]:
        try:
            kept: dict[str, Any] = orjson.loads(self._keys.open(sealed, binding))
        except SecretUnreadable as error:
            _log.error("an authorization cannot be decrypted", reason=str(error))
            raise BadRequest(_INVALID, code="authorization_invalid", field="state") from None
        return kept

    async def _redeemed(self, answer: AuthorizationAnswer, kept: Mapping[str, Any]) -> IssuedToken:
        server = kept["server"]
        expected = server["issuer"]
        if (answer.issuer or (expected if not server["names_itself"] else "")).rstrip("/") != expected.rstrip("/"):
            raise BadRequest("The answer is that of another authorization server.", code="issuer_mismatch", field="iss")
        if answer.error is not None or not answer.code:
            raise BadRequest("The authorization was not given.", code="authorization_denied", field="error")
        form = {
            "grant_type": "authorization_code",
            "code": answer.code,
            "redirect_uri": kept["redirect_uri"],
            "code_verifier": kept["verifier"],
            "resource": server["resource"],
        }
        try:
            async with self._open_client() as http:
                return await request_token(http, server["token_endpoint"], form, client_of(kept["client"]))
        except TokenRefused as refused:
            if refused.code == "invalid_client":
                await self._clients.forget(expected)
            raise BadRequest(f"No token was given: {refused}.", code="token_refused") from None

    async def _connect(
        self, owner_id: str, organization_id: UUID | None, url: str, kept: Mapping[str, Any], issued: IssuedToken
    ) -> None:
        server = kept["server"]
        tokens = {
            "access_token": issued.access_token,
            "refresh_token": issued.refresh_token,
            "client": kept["client"],
            "token_endpoint": server["token_endpoint"],
            "revocation_endpoint": server["revocation_endpoint"],
            "resource": server["resource"],
        }
        binding = connection_binding(owner_id, organization_id, url, server["issuer"])
        await self._stored.put(
            owner_id,
            organization_id,
            url,
            server["issuer"],
            issued.scope or server["scope"],
            self._keys.seal(orjson.dumps(tokens).decode(), binding),
            timedelta(seconds=issued.seconds),
        )

    def _url(
        self, server: AuthorizationServer, entry: CredentialEntry, client_id: str, state: str, verifier: str
    ) -> str:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        scope = entry.options.get("scope") or server.scope
        query = urlencode(
            {
                "response_type": "code",
                "client_id": client_id,
                "redirect_uri": self._clients.redirect_uri,
                "state": state,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
                "resource": server.resource,
                **({"scope": scope} if scope else {}),
            }
        )
        separator = "&" if "?" in server.authorization_endpoint else "?"
        return f"{server.authorization_endpoint}{separator}{query}"


def _digest(state: str) -> bytes:
    return hashlib.sha256(state.encode()).digest()
