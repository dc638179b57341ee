"""The rows to which ciphertexts are bound."""

from __future__ import annotations

from uuid import UUID

from robyn_server.core.json.canonical import canonical_json
from robyn_server.core.mcp_credentials import CredentialEntry


def entry_binding(entry: CredentialEntry) -> bytes:
    """All columns of an entry: who changes one of them without the key makes it unreadable."""
    owner = None if entry.organization_id is None else str(entry.organization_id)
    return canonical_json(["mcp_credentials", owner, entry.url, entry.kind.value, dict(entry.options)])


def run_binding(run_id: UUID, owner_id: str) -> bytes:
    return canonical_json(["run_credentials", str(run_id), owner_id])


def client_binding(issuer: str, redirect_uri: str) -> bytes:
    return canonical_json(["mcp_clients", issuer, redirect_uri])


def authorization_binding(digest: bytes, owner_id: str, organization_id: UUID | None, url: str) -> bytes:
    return canonical_json(["mcp_authorizations", digest.hex(), owner_id, _text(organization_id), url])


def connection_binding(owner_id: str, organization_id: UUID | None, url: str, issuer: str) -> bytes:
    return canonical_json(["mcp_connections", owner_id, _text(organization_id), url, issuer])


def _text(identifier: UUID | None) -> str | None:
    return None if identifier is None else str(identifier)
