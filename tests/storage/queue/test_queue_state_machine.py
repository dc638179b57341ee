"""Hypothesis runs the run queue against its model, in any order of clients and workers."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from queue_state_machine import QueueStateMachine, wait_in
from run_storage import open_run_storage

from robyn_server.graphs.checkpoints.saver import Checkpoints


def test_the_queue_does_as_its_model(database: str) -> None:
    with asyncio.Runner() as runner:
        wait = wait_in(runner)
        opening = open_run_storage(database, size=1)
        storage = wait(opening.__aenter__())
        checkpoints = Checkpoints(database, size=1)
        wait(checkpoints.start())
        try:
            run_state_machine_as_test(
                lambda: QueueStateMachine(storage, checkpoints, wait),
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
            wait(checkpoints.stop())
            wait(opening.__aexit__(None, None, None))
