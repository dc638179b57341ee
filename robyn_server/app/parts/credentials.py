"""Construction of what finds credentials for MCP servers."""

from __future__ import annotations

import asyncio
import ssl
from functools import cache
from typing import TYPE_CHECKING

from robyn_server.credentials.caller_tokens import CallerTokens, KeptTokens
from robyn_server.credentials.exchange import TokenExchange
from robyn_server.credentials.finder import CredentialFinder
from robyn_server.credentials.keys import Keys
from robyn_server.credentials.oauth.authorizations import Authorizations
from robyn_server.credentials.oauth.clients import OAuthClients
from robyn_server.credentials.oauth.connections import Connections
from robyn_server.credentials.oauth.servers import ConnectableServers
from robyn_server.egress.clients import checked_transport, operator_client
from robyn_server.settings import Settings
from robyn_server.storage.mcp.connections import McpConnections, OwnConnections
from robyn_server.storage.mcp.credentials import McpCredentials
from robyn_server.storage.mcp.run_credentials import RunCredentials
from robyn_server.storage.postgres.pools import Pool

if TYPE_CHECKING:
    import httpx

    from robyn_server.services.connections import ConnectionService
    from robyn_server.worker.hosts.credentials import RunCredentialHost

TOKEN_SECONDS = 10.0


def make_keys(settings: Settings) -> Keys:
    return Keys(settings.secret_key, settings.data_dir)


async def read_keys(settings: Settings) -> None:
    """Read the keys of the environment at the start, apart from the event loop: a service may have to decrypt them.

    Raises Misconfigured for keys that are none, Unavailable where their service does not answer.
    """
    keys = make_keys(settings)
    if not keys.are_in_file:
        await asyncio.to_thread(keys.ring)


def make_caller_tokens(settings: Settings, system: Pool) -> CallerTokens:
    return CallerTokens(McpCredentials(system), make_keys(settings))


def make_connections(settings: Settings, system: Pool) -> tuple[Connections, Authorizations]:
    """Connections of users. The URLs that servers name are fetched under the policy of users."""
    keys, stored = make_keys(settings), McpConnections(system)
    policy = settings.egress_policy

    def open_client() -> httpx.AsyncClient:
        import httpx  # imported here: a process that connects nobody does not need it

        transport = checked_transport(policy, _ssl_context())
        return httpx.AsyncClient(transport=transport, timeout=TOKEN_SECONDS, trust_env=False)

    clients = OAuthClients(stored, keys, settings.oauth_redirect_uri)
    authorizations = Authorizations(stored, keys, clients, open_client, on_page=settings.connect_page is not None)
    return Connections(stored, keys, authorizations, open_client), authorizations


def make_connection_service(settings: Settings, app: Pool, system: Pool) -> ConnectionService:
    from robyn_server.services.connections import ConnectionService

    connections, authorizations = make_connections(settings, system)
    servers = ConnectableServers(McpCredentials(system), make_keys(settings), authorizations)
    return ConnectionService(OwnConnections(app), connections, authorizations, servers)


@cache
def _ssl_context() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()  # takes 32 ms


def make_finder(settings: Settings, system: Pool) -> CredentialFinder:
    keys = make_keys(settings)
    own = {str(each.validation_alias) for each in Settings.model_fields.values()}
    exchange = TokenExchange(lambda: operator_client(TOKEN_SECONDS))
    connections, _ = make_connections(settings, system)
    tokens = KeptTokens(RunCredentials(system), keys)
    return CredentialFinder(McpCredentials(system), keys, own, tokens, exchange, connections)


def open_credential_host(settings: Settings, system: Pool) -> RunCredentialHost:
    """Let the agents of runs find credentials."""
    from robyn_server.worker.hosts.credentials import RunCredentialHost
    from tools_agent.credentials import set_credential_host

    host = RunCredentialHost(make_finder(settings, system))
    set_credential_host(host)
    return host
