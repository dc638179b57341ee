"""Whatever instances, keepers and sweepers do, at whatever moment: the registry does as its model.

AGENTHALL_TEST_LONG=1 looks for longer, and elsewhere each time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from registry_machine import RegistryMachine
from registry_sql import open_registry

LONG = bool(os.environ.get("AGENTHALL_TEST_LONG"))


@pytest.mark.timeout(1200 if LONG else 120)
def test_the_registry_does_as_its_model(database: str) -> None:
    with asyncio.Runner() as runner:

        def wait(work: Awaitable[Any]) -> Any:
            async def inside() -> Any:
                return await work

            return runner.run(inside())

        opening = open_registry(database, size=1)
        registry = wait(opening.__aenter__())
        try:
            run_state_machine_as_test(
                lambda: RegistryMachine(registry, wait),  # type: ignore[arg-type]
                settings=settings(
                    max_examples=400 if LONG else 16,
                    stateful_step_count=50,
                    deadline=None,
                    derandomize=not LONG,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            wait(opening.__aexit__(None, None, None))
