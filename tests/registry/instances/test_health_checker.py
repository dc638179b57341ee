"""The loop of health checks when its database is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import httpx
import pytest

from robyn_server.core.egress.policy import EgressLevel, EgressPolicy
from robyn_server.core.errors import Unavailable
from robyn_server.registry.instances.health_checks import HealthChecker, check_health
from robyn_server.storage.registry.instances.health_checks import CheckResult, DueCheck

DUE = DueCheck(UUID(int=1), "http://[fd00:ec2::254]/")
"""The policy refuses it, so nobody is asked."""


class Checks:
    """Has one check that is due, and fails to record it once."""

    def __init__(self) -> None:
        self.due = [DUE]
        self.recorded: list[CheckResult] = []
        self.is_away = True

    async def claim(self, most: int) -> list[DueCheck]:
        due, self.due = self.due[:most], self.due[most:]
        return due

    async def record(self, results: Sequence[CheckResult]) -> int:
        if self.is_away:
            self.is_away = False
            raise Unavailable("The database is away.")
        self.recorded += results
        return len(results)


async def test_a_result_is_recorded_once_the_database_is_back() -> None:
    checks: Any = Checks()
    checker = HealthChecker(checks, EgressPolicy(EgressLevel.PUBLIC))
    await checker.step()
    for task in list(checker._open):
        await task
    with pytest.raises(Unavailable):
        await checker.step()
    await checker.step()
    await checker.step()
    await checker.stop()
    assert [each.check for each in checks.recorded] == [DUE] and checks.recorded[0].error


async def test_a_reason_can_be_stored_whatever_is_in_it() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no \0 way \udc80")

    async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as client:
        assert await check_health("http://bot.example/", client) == "no ? way ?"
