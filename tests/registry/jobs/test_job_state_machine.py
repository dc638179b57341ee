"""The rules of jobs hold, whatever instances, callers and sweepers do.

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
from job_database import open_jobs
from job_state_machine import JobStateMachine

LONG = bool(os.environ.get("AGENTHALL_TEST_LONG"))


@pytest.mark.timeout(3600 if LONG else 600)  # hypothesis reports a timeout as FlakyStrategyDefinition
def test_the_rules_of_jobs_hold(database: str) -> None:
    with asyncio.Runner() as runner:

        def wait(work: Awaitable[Any]) -> Any:
            async def inside() -> Any:
                return await work

            return runner.run(inside())

        opening = open_jobs(database, size=1)
        jobs = wait(opening.__aenter__())
        try:
            run_state_machine_as_test(
                lambda: JobStateMachine(jobs, wait),  # type: ignore[arg-type]
                settings=settings(
                    max_examples=400 if LONG else 12,
                    stateful_step_count=40,
                    deadline=None,
                    derandomize=not LONG,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            wait(opening.__aexit__(None, None, None))
