"""Whatever workers and clients do, in whatever order: the queue does as its model."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from queue_machine import QueueMachine, wait_in
from stored_runs import open_store


def test_the_queue_does_as_its_model(database: str) -> None:
    with asyncio.Runner() as runner:
        wait = wait_in(runner)
        opening = open_store(database, size=1)
        store = wait(opening.__aenter__())
        try:
            run_state_machine_as_test(
                lambda: QueueMachine(store, wait),
                settings=settings(
                    max_examples=20,
                    stateful_step_count=40,
                    deadline=None,
                    derandomize=True,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            wait(opening.__aexit__(None, None, None))
