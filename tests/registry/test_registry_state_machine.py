"""The registry agrees with its model, whatever instances, keepers and sweepers do.

AGENTHALL_TEST_LONG=1 runs more examples, with a new seed each time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from registry_database import open_registry
from registry_state_machine import RegistryStateMachine

LONG = bool(os.environ.get("AGENTHALL_TEST_LONG"))


@pytest.mark.timeout(3600 if LONG else 600)  # hypothesis reports a timeout as FlakyStrategyDefinition
def test_the_registry_agrees_with_its_model(database: str) -> None:
    with asyncio.Runner() as runner:

        def wait(work: Awaitable[Any]) -> Any:
            async def inside() -> Any:
                return await work

            return runner.run(inside())

        opening = open_registry(database, size=1)
        registry = wait(opening.__aenter__())
        try:
            run_state_machine_as_test(
                lambda: RegistryStateMachine(registry, wait),  # type: ignore[arg-type]
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
