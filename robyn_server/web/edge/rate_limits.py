"""Limits of the requests of one principal and of one organization, told in headers.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` names the quotas (`q`) and their
windows (`w`), `RateLimit` what remains (`r`), and in how many seconds it is all there again (`t`). Each web process
counts for itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from robyn_server.core.access.principal import Principal
from robyn_server.core.access.rate_limit import Budget, RateLimit
from robyn_server.core.errors import RateLimited
from robyn_server.metrics.definitions import REQUESTS_LIMITED
from robyn_server.web.http.messages import Headers

WINDOW = 60.0
_VARIABLES = {"principal": "AGENTHALL_REQUESTS_PER_PRINCIPAL", "organization": "AGENTHALL_REQUESTS_PER_ORGANIZATION"}


class RateLimits:
    """The most requests in a minute; None: any number."""

    def __init__(
        self, of_principal: int | None, of_organization: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._limits = {
            name: RateLimit(quota, WINDOW)
            for name, quota in (("principal", of_principal), ("organization", of_organization))
            if quota is not None
        }

    def __bool__(self) -> bool:
        return bool(self._limits)

    def take(self, principal: Principal) -> tuple[Headers, RateLimited | None]:
        """Count a request. Return the headers of its reply, and the refusal if there is no budget left."""
        now, told = self._clock(), list[tuple[str, RateLimit, Budget]]()
        for name, limit in self._limits.items():
            key = principal.identity if name == "principal" else _organization(principal)
            if key is None:
                continue
            budget = limit.take(key, now)
            told.append((name, limit, budget))
            if not budget.is_accepted:
                self._give_back(principal, told[:-1])
                REQUESTS_LIMITED.inc(name)
                return _headers(told), _refusal(name, limit, budget)
        return _headers(told), None

    def _give_back(self, principal: Principal, taken: list[tuple[str, RateLimit, Budget]]) -> None:
        """A request that the organization's budget refuses costs the principal nothing."""
        for _, limit, _ in taken:
            limit.give_back(principal.identity)


def _organization(principal: Principal) -> str | None:
    """The organization that the request named, else the principal's only one."""
    if principal.acting_for is not None:
        return str(principal.acting_for)
    organizations = principal.organizations or ()
    return str(next(iter(organizations))) if len(organizations) == 1 else None


def _headers(told: list[tuple[str, RateLimit, Budget]]) -> Headers:
    if not told:
        return ()
    policies = ", ".join(f'"{name}";q={limit.quota};w={limit.window:.0f}' for name, limit, _ in told)
    budgets = ", ".join(f'"{name}";r={budget.remaining};t={math.ceil(budget.full_after)}' for name, _, budget in told)
    return (("ratelimit-policy", policies), ("ratelimit", budgets))


def _refusal(name: str, limit: RateLimit, budget: Budget) -> RateLimited:
    whose = "You have" if name == "principal" else "Your organization has"
    return RateLimited(
        f"{whose} no request left of {limit.quota} in {limit.window:.0f} s ({_VARIABLES[name]}).",
        retry_after=max(1, math.ceil(budget.wait)),
    )
