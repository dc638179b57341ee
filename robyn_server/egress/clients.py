"""HTTP clients and transports under the egress policy."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from robyn_server.core.egress.policy import OPERATOR, EgressPolicy

from .network import Resolver, guard_pools

if TYPE_CHECKING:
    import httpx


def checked_transport(
    policy: EgressPolicy,
    verify: ssl.SSLContext | bool = True,
    resolver: Resolver | None = None,
    limits: httpx.Limits | None = None,
) -> httpx.AsyncHTTPTransport:
    """A transport for URLs of users and of the catalogue. It ignores proxies and netrc of the environment."""
    import httpx  # imported here, as below: a web process without JWKS does not need it

    transport = httpx.AsyncHTTPTransport(
        verify=verify, trust_env=False, limits=httpx.Limits() if limits is None else limits
    )
    guard_pools([transport], policy, resolver)
    return transport


def operator_client(timeout: float, resolver: Resolver | None = None) -> httpx.AsyncClient:
    """A client for a URL that the operator sets. It follows no redirects, and uses the proxies of the environment."""
    import httpx

    client = httpx.AsyncClient(follow_redirects=False, timeout=timeout)
    guard_client(client, resolver=resolver)
    return client


def guard_client(client: Any, policy: EgressPolicy = OPERATOR, *, resolver: Resolver | None = None) -> None:
    """Put the policy under an AsyncClient of httpx or httpx2 and each of its proxies."""
    mounts = [transport for transport in client._mounts.values() if transport is not None]  # noqa: SLF001  no other way
    guard_pools([client._transport, *mounts], policy, resolver)  # noqa: SLF001
