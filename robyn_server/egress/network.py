"""Open TCP connections to addresses that the policy allows: the network under an HTTP client.

Rules
- A host is resolved once, and the connection goes to an address of that answer. Another answer to the same question
  cannot come between the check and the connection.
- A refusal says nothing of the address, nor whether somebody listens there. The server's log does.
- The classes of httpcore and of httpcore2 are the same but for their names, so one class serves both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from socket import SOCK_STREAM
from typing import Any

import structlog

from robyn_server.core.egress.policy import EgressPolicy

REFUSED = "the policy of this server does not allow the address of its url (AGENTHALL_EGRESS)"
CONNECT_SECONDS = 60.0
"""Limit for resolving and connecting where the client sets none."""

_log = structlog.get_logger(__name__)

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Takes host and port, and returns addresses in the order in which they are tried. Raises OSError."""


async def resolve(host: str, port: int) -> Sequence[str]:
    # As bytes, or Python would check the labels of the name, with errors of its own. Names of URLs are ASCII.
    found = await asyncio.get_running_loop().getaddrinfo(host.encode(), port, type=SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedNetwork:
    """A network backend of httpcore on `inner`, which is another."""

    def __init__(self, inner: Any, policy: EgressPolicy, resolver: Resolver | None = None) -> None:
        self._inner = inner
        self._policy = policy
        self._resolve = resolver or resolve
        library = import_module(type(inner).__module__.partition(".")[0])
        self._error: type[Exception] = library.ConnectError
        self._too_late: type[Exception] = library.ConnectTimeout

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> Any:
        """Raises ConnectError and ConnectTimeout of the library."""
        end = time.monotonic() + (CONNECT_SECONDS if timeout is None else timeout)
        *others, last = await self._allowed(host, port, end)
        for at, address in enumerate(others):
            # The share of each attempt is such that none keeps the later ones from being tried.
            share = _left(end) / (len(others) + 1 - at)
            with suppress(self._error, self._too_late):
                return await self._inner.connect_tcp(address, port, timeout=share, **options)
        return await self._inner.connect_tcp(last, port, timeout=_left(end), **options)

    async def connect_unix_socket(self, *_: Any, **__: Any) -> Any:
        raise self._error(REFUSED)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)

    async def _allowed(self, host: str, port: int, end: float) -> list[str]:
        """The addresses that may be connected to, at least one. Raises ConnectError and ConnectTimeout."""
        try:
            async with asyncio.timeout(_left(end)):
                found = await self._resolve(host, port)
        except TimeoutError:
            raise self._too_late(f"{host} was not resolved in time") from None
        except OSError as error:
            raise self._error(str(error)) from error
        allowed = [address for address in found if self._policy.allows(address, port, host)]
        if not allowed:
            _log.warning("the egress policy refused a connection", host=host, port=port, addresses=list(found))
            raise self._error(REFUSED)
        return allowed


def _left(end: float) -> float:
    return max(end - time.monotonic(), 0)


def guard_pools(transports: Iterable[Any], policy: EgressPolicy, resolver: Resolver | None = None) -> None:
    """Put the policy under transports of httpx or httpx2, once. Raises AttributeError for one of another kind.

    httpx has no argument for the network. Under a transport of a proxy, the policy sees the proxy's address.
    """
    for transport in transports:
        pool = transport._pool  # noqa: SLF001  see above
        if not isinstance(pool._network_backend, CheckedNetwork):  # noqa: SLF001
            pool._network_backend = CheckedNetwork(pool._network_backend, policy, resolver)  # noqa: SLF001
