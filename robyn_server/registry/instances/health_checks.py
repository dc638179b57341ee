"""Check instances over HTTP: GET of the health_check_url that an instance registered with.

Rules
- A status of 2xx within CHECK_SECONDS passes. The body is not read, redirects are not followed, cookies are not kept.
- The connection goes to an address that the egress policy allows; another one fails the check.
- The database says which checks are due, and what follows from a failure (migration 0064).
"""

from __future__ import annotations

import asyncio
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from robyn_server import __version__
from robyn_server.concurrency.periodic import Periodic
from robyn_server.core.egress.policy import EgressPolicy
from robyn_server.egress.clients import checked_transport
from robyn_server.metrics.definitions import HEALTH_CHECKS
from robyn_server.storage.registry.instances.health_checks import CheckResult, DueCheck, HealthChecks

CHECK_SECONDS = 5.0
MAX_OPEN = 500
"""Checks that one process makes at a time."""
_STEP_SECONDS = 1.0


class HealthChecker:
    def __init__(self, checks: HealthChecks, policy: EgressPolicy) -> None:
        self._checks = checks
        self._client = health_client(policy)
        self._open: set[asyncio.Task[None]] = set()
        self._results: list[CheckResult] = []
        self._loop = Periodic("health checks of instances", self.step, _STEP_SECONDS)

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        """Stop without the results of open checks: another process makes them when they are due again."""
        await self._loop.stop()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._client.aclose()

    async def step(self) -> None:
        """Record the results since the last step, and begin the checks that are due. Raises Unavailable."""
        if results := list(self._results):
            await self._checks.record(results)
            del self._results[: len(results)]
        room = MAX_OPEN - len(self._open)
        for due in await self._checks.claim(room) if room else []:
            task = asyncio.create_task(self._make(due), name="health check")
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _make(self, due: DueCheck) -> None:
        error = await check_health(due.url, self._client)
        HEALTH_CHECKS.inc("passed" if error is None else "failed")
        self._results.append(CheckResult(due, error))


def health_client(policy: EgressPolicy) -> httpx.AsyncClient:
    """A client for any number of checks at a time, each on a connection of its own."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(
        transport=checked_transport(policy, limits=limits),
        headers={"user-agent": f"agenthall/{__version__}"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        timeout=CHECK_SECONDS,
        trust_env=False,
    )


async def check_health(url: str, client: httpx.AsyncClient) -> str | None:
    """Return why the check failed; None: it passed."""
    try:
        async with asyncio.timeout(CHECK_SECONDS), client.stream("GET", url) as response:
            return None if response.is_success else f"HTTP {response.status_code}"
    except (TimeoutError, httpx.TimeoutException):
        return f"no answer within {CHECK_SECONDS:g} s"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return _storable(str(error)) or type(error).__name__


def _storable(text: str) -> str:
    """Replace what PostgreSQL cannot store: one such reason would keep all results from being recorded."""
    return text.encode(errors="replace").decode().replace("\0", "?")
