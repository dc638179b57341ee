"""Credentials for MCP servers. The host of the agent finds them for each run.

Rules
- A credential is sent to the server for which the host found it, and to no other.
- A server without a credential that it needs is a notice, as one that is away. The agent answers without it.
- No credential enters a configuration, a message, a notice or a checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypedDict

from pydantic import SecretStr

from .configuration import MCPServerConfig
from .notices import public_url

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig


@dataclass(frozen=True, slots=True)
class ServerCredential:
    """A header of each request to a server."""

    value: SecretStr
    header: str = "Authorization"

    @classmethod
    def bearer(cls, token: str) -> ServerCredential:
        return cls(SecretStr(f"Bearer {token}"))


@dataclass(frozen=True, slots=True)
class MissingCredential:
    """`why`: the end of a sentence. `authorization_url`: where the user allows the connection, if that helps."""

    why: str
    authorization_url: str | None = None


Credentials = Mapping[str, ServerCredential | MissingCredential]
"""By the URL of the server, as it is configured."""


class ConnectionRequired(TypedDict):
    """A server that the user has to connect to. `authorization_url`: for the user's browser."""

    server: str
    url: str
    authorization_url: str


class CredentialHost(Protocol):
    async def find(self, servers: Sequence[MCPServerConfig], config: RunnableConfig) -> Credentials:
        """Find the credentials of servers for the run of `config`. One without any is left out."""


_host: CredentialHost | None = None


def set_credential_host(host: CredentialHost | None) -> None:
    """For the whole process. None: no server gets a credential."""
    global _host  # noqa: PLW0603 - one for the process, as the limits are
    _host = host


async def find_credentials(servers: Sequence[MCPServerConfig], config: RunnableConfig) -> Credentials:
    if _host is None or not servers:
        return {}
    return await _host.find(servers, config)


def connections_required(servers: Sequence[MCPServerConfig], credentials: Credentials) -> Iterator[ConnectionRequired]:
    for each in servers:
        found = credentials.get(each.url)
        if isinstance(found, MissingCredential) and found.authorization_url is not None:
            url = public_url(each.url)
            yield {"server": each.name, "url": url, "authorization_url": found.authorization_url}
