"""Check of egress: the MCP servers of the catalogue have addresses that the policy allows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

from robyn_server.agent_sync.catalogue_db.tool_servers import count_tool_servers
from robyn_server.agent_sync.errors import CatalogueAbsent
from robyn_server.agent_sync.options import configured_scope
from robyn_server.core.egress.policy import EgressPolicy
from robyn_server.core.errors import CatalogueUnavailable, Misconfigured
from robyn_server.doctor.check import Check, check_async
from robyn_server.doctor.database import connect_to_catalogue
from robyn_server.egress.network import resolve
from robyn_server.settings import Settings

from .agent_sync import configured_source, settings_of_sync

_MOST = 100
_RESOLVE_SECONDS = 5.0
_PORTS = {"http": 80, "https": 443}


def egress_checks(dsn: str) -> Iterator[Check]:
    """Yield the check; none if nothing is synced."""
    settings = settings_of_sync()
    if settings is not None:
        yield check_async("egress", _egress(dsn, settings))


async def _egress(dsn: str, settings: Settings) -> str:
    """Resolve the hosts of the URLs. Raises Misconfigured naming those that a worker here would not connect to."""
    urls = await _tool_servers(dsn, settings)
    policy = settings.egress_policy
    found = await asyncio.gather(*(_refused(url, policy) for url in urls))
    refused = {shown for shown in found if shown is not None}
    if refused:
        raise Misconfigured(
            f"the policy refuses the MCP servers {', '.join(sorted(refused))}; allow them with AGENTHALL_EGRESS"
            " or AGENTHALL_EGRESS_ALLOW",
            field="AGENTHALL_EGRESS",
        )
    return f"level {policy.level}; it refuses none of the catalogue's MCP servers that can be resolved ({len(urls)})"


async def _tool_servers(dsn: str, settings: Settings) -> list[str]:
    try:
        async with connect_to_catalogue(dsn) as connection:
            scope = configured_scope(settings.agent_sync_scope)
            return list(await count_tool_servers(connection, scope, configured_source(), most=_MOST))
    except CatalogueAbsent as error:
        raise CatalogueUnavailable(str(error)) from None


async def _refused(url: str, policy: EgressPolicy) -> str | None:
    """Scheme, host and port of a URL that is refused; None for one that is not, or cannot be resolved."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port or _PORTS[parts.scheme]
        async with asyncio.timeout(_RESOLVE_SECONDS):
            addresses = await resolve(host or "", port)
    except (OSError, ValueError, KeyError):  # another check of the catalogue is about what is no URL
        return None
    allowed = any(policy.allows(address, port, host or "") for address in addresses)
    return None if allowed else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
