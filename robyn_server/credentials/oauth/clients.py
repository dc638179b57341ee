"""The client that this server is at an authorization server: the operator's, or one that it registers (RFC 7591)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from robyn_server.core.mcp_credentials import CredentialEntry
from robyn_server.credentials.key_ring import SecretUnreadable
from robyn_server.credentials.keys import Keys
from robyn_server.credentials.references import CredentialUnusable
from robyn_server.credentials.sealing import client_binding
from robyn_server.credentials.token_requests import ClientSecret, fetch_json
from robyn_server.storage.mcp.connections import McpConnections

from .discovery import AuthorizationServer

if TYPE_CHECKING:
    import httpx

CLIENT_NAME = "Agenthall"
_CREATED = (200, 201)


class OAuthClients:
    def __init__(self, stored: McpConnections, keys: Keys, redirect_uri: str) -> None:
        self._stored = stored
        self._keys = keys
        self.redirect_uri = redirect_uri

    async def client(
        self, http: httpx.AsyncClient, server: AuthorizationServer, entry: CredentialEntry, secret: str
    ) -> ClientSecret:
        """Raises CredentialUnusable, TokenRefused, Misconfigured, Unavailable."""
        if entry.options.get("client_id"):
            return ClientSecret(entry.options["client_id"], secret or None)
        if (kept := await self._kept(server.issuer)) is not None:
            return kept
        registered = await self._register(http, server)
        binding = client_binding(server.issuer, self.redirect_uri)
        sealed = self._keys.seal(orjson.dumps(client_fields(registered)).decode(), binding)
        await self._stored.keep_client(server.issuer, self.redirect_uri, sealed)
        return await self._kept(server.issuer) or registered

    async def forget(self, issuer: str) -> None:
        """Register again next time: the authorization server no longer knows the client."""
        await self._stored.forget_client(issuer, self.redirect_uri)

    async def _kept(self, issuer: str) -> ClientSecret | None:
        sealed = await self._stored.find_client(issuer, self.redirect_uri)
        if sealed is None:
            return None
        try:
            return client_of(orjson.loads(self._keys.open(sealed, client_binding(issuer, self.redirect_uri))))
        except SecretUnreadable:
            await self.forget(issuer)
            return None

    async def _register(self, http: httpx.AsyncClient, server: AuthorizationServer) -> ClientSecret:
        if server.registration_endpoint is None:
            raise CredentialUnusable(
                "its authorization server registers no clients; the operator has to give a client id"
            )
        asked = {
            "client_name": CLIENT_NAME,
            "redirect_uris": [self.redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        }
        status, answer = await fetch_json(http, "POST", server.registration_endpoint, json=asked)
        client_id, secret = answer.get("client_id"), answer.get("client_secret")
        if status not in _CREATED or not isinstance(client_id, str):
            raise CredentialUnusable(f"its authorization server did not register this server ({status})")
        in_body = answer.get("token_endpoint_auth_method") == "client_secret_post"
        return ClientSecret(client_id, secret if isinstance(secret, str) and secret else None, in_body)


def client_fields(client: ClientSecret) -> dict[str, Any]:
    return {"client_id": client.client_id, "secret": client.secret, "in_body": client.in_body}


def client_of(fields: dict[str, Any]) -> ClientSecret:
    return ClientSecret(fields["client_id"], fields["secret"], fields["in_body"])
