"""Find the authorization server of an MCP server, and what it offers. RFC 9728, RFC 8414, RFC 9207."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from robyn_server.core.urls.hosts import LOOPBACK
from robyn_server.credentials.references import CredentialUnusable
from robyn_server.credentials.token_requests import TokenRefused, fetch_json

if TYPE_CHECKING:
    import httpx

_OK, _UNAUTHORIZED = 200, 401
_PROBE = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
_PROBE_HEADERS = {"accept": "application/json, text/event-stream"}


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """`resource`: what tokens are requested for. `scope`: what the MCP server asks for."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str | None
    revocation_endpoint: str | None
    names_itself: bool
    """Whether its answer has `iss` (RFC 9207)."""
    resource: str
    scope: str | None


async def discover(client: httpx.AsyncClient, url: str) -> AuthorizationServer:
    """Raises CredentialUnusable, TokenRefused."""
    resource, challenge_scope = await _protected_resource(client, url)
    issuer = str(resource["authorization_servers"][0])
    metadata = await _metadata(client, issuer, url)
    scopes = resource.get("scopes_supported")
    scope = challenge_scope or (" ".join(map(str, scopes)) if isinstance(scopes, list) and scopes else None)
    return _described(metadata, issuer, str(resource["resource"]), scope)


async def _protected_resource(client: httpx.AsyncClient, url: str) -> tuple[dict[str, Any], str | None]:
    """The metadata of the resource, and the scope of its challenge."""
    from mcp.client.auth.utils import (
        build_protected_resource_metadata_discovery_urls,
        extract_resource_metadata_from_www_auth,
        extract_scope_from_www_auth,
    )
    from mcp.shared.auth_utils import check_resource_allowed

    challenge = await _challenge(client, url)
    named = None if challenge is None else extract_resource_metadata_from_www_auth(challenge)
    scope = None if challenge is None else extract_scope_from_www_auth(challenge)
    for candidate in build_protected_resource_metadata_discovery_urls(named, url):
        status, found = await fetch_json(client, "GET", _secure(candidate))
        if status == _OK and found.get("resource") and _is_list(found.get("authorization_servers")):
            if not check_resource_allowed(requested_resource=url, configured_resource=str(found["resource"])):
                raise CredentialUnusable("its metadata (RFC 9728) is that of another resource")
            return found, scope
    raise CredentialUnusable("it names no authorization server (RFC 9728)")


async def _challenge(client: httpx.AsyncClient, url: str) -> httpx.Response | None:
    """The answer of a server that asks for authorization."""
    import httpx

    try:
        async with client.stream("POST", url, json=_PROBE, headers=_PROBE_HEADERS) as response:
            return response if response.status_code == _UNAUTHORIZED else None
    except httpx.HTTPError as error:
        raise TokenRefused(f"it cannot be reached ({type(error).__name__})") from None


async def _metadata(client: httpx.AsyncClient, issuer: str, url: str) -> dict[str, Any]:
    """Metadata whose `issuer` is the one asked for (RFC 8414, section 3.3)."""
    from mcp.client.auth.utils import build_oauth_authorization_server_metadata_discovery_urls, issuers_match

    for candidate in build_oauth_authorization_server_metadata_discovery_urls(issuer, url):
        status, found = await fetch_json(client, "GET", _secure(candidate))
        if status == _OK and found:
            if not issuers_match(str(found.get("issuer")), issuer):
                raise CredentialUnusable("its authorization server names another issuer (RFC 8414)")
            return found
    raise CredentialUnusable("its authorization server does not describe itself (RFC 8414)")


def _described(found: Mapping[str, Any], issuer: str, resource: str, scope: str | None) -> AuthorizationServer:
    methods = found.get("code_challenge_methods_supported")
    if not isinstance(methods, list) or "S256" not in methods:
        raise CredentialUnusable("its authorization server does not offer PKCE with S256")
    return AuthorizationServer(
        issuer,
        _endpoint(found, "authorization_endpoint"),
        _endpoint(found, "token_endpoint"),
        _optional(found, "registration_endpoint"),
        _optional(found, "revocation_endpoint"),
        found.get("authorization_response_iss_parameter_supported") is True,
        resource,
        scope,
    )


def _endpoint(found: Mapping[str, Any], name: str) -> str:
    if not isinstance(found.get(name), str):
        raise CredentialUnusable(f"its authorization server has no {name}")
    return _secure(found[name])


def _optional(found: Mapping[str, Any], name: str) -> str | None:
    return None if found.get(name) is None else _endpoint(found, name)


def _secure(url: str) -> str:
    """OAuth 2.1, section 1.5: TLS, but for loopback. A browser must not be sent to a `javascript:` URL."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    except ValueError:
        usable = False
    if not usable or not url.isprintable():
        raise CredentialUnusable("its authorization names a URL without TLS")
    return url


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], str)
