"""The operator's credentials for MCP servers: values, and the rules that they follow.

Rules
- Only the operator says which server gets a credential. A catalogue row that names a URL names no credential.
- A credential is for one URL: scheme, host, port, path and query. Another path is another server.
- That of the run's organization wins over the one for all organizations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

from .errors import Invalid

MAX_URL_LENGTH = 2048
_PORTS = {"http": 80, "https": 443}


class CredentialKind(StrEnum):
    """Where a credential comes from."""

    ENV = "env"
    FILE = "file"
    STORED = "stored"
    PASS_THROUGH = "pass_through"  # noqa: S105  a kind, not a secret
    """The token of the run's caller, if it is for an audience that the entry names."""
    EXCHANGE = "exchange"
    """A token that an endpoint gives for the caller's (RFC 8693)."""

    CONNECTION = "connection"
    """The user's own connection to the server (OAuth 2.1)."""


@dataclass(frozen=True, slots=True)
class CredentialEntry:
    """The operator's entry for a server. `options` holds no secret."""

    organization_id: UUID | None
    url: str
    kind: CredentialKind
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it is stored: `sealed` authenticates it, and holds its secret if it has one."""

    entry: CredentialEntry
    sealed: bytes
    updated_at: datetime
    updated_by: str


def server_url(text: str) -> str:
    """The URL of an MCP server in the form in which entries are compared. Raises Invalid.

    An empty path is /mcp, as for the agent that connects.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Invalid("url: is no URL", field="url") from None
    if parts.scheme not in _PORTS or not host or len(text) > MAX_URL_LENGTH:
        raise Invalid("url: must be an http or https URL of at most 2048 characters", field="url")
    if parts.username or parts.password or parts.fragment:
        raise Invalid("url: must have no user, password and fragment", field="url")
    shown = f"[{host}]" if ":" in host else host
    netloc = shown if port in (None, _PORTS[parts.scheme]) else f"{shown}:{port}"
    return urlunsplit((parts.scheme, netloc, _path(parts.path), parts.query, ""))


def _path(path: str) -> str:
    return path.removesuffix("/") or "/mcp"


def choose(found: Iterable[StoredEntry], organization_id: UUID | None) -> dict[str, StoredEntry]:
    """The entry of each URL for a run of the organization."""
    chosen = dict[str, StoredEntry]()
    for each in found:
        owner = each.entry.organization_id
        if owner == organization_id or (owner is None and each.entry.url not in chosen):
            chosen[each.entry.url] = each
    return chosen
