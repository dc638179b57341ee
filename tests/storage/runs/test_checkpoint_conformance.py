"""Our savers pass LangChain's suite for checkpoint savers (langgraph-checkpoint-conformance)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from run_storage import RunStorage

from robyn_server.core.ids import new_id
from robyn_server.graphs.checkpoints.saver import Checkpoints

WORKER = new_id()
PASSED = {"put": 17, "put_writes": 10, "get_tuple": 10, "list": 16, "delete_thread": 5, "prune": 8}
"""Cases of each capability. `copy_thread` and `delete_for_runs` are no methods of LangGraph's saver for PostgreSQL."""


async def _passed(saver: Callable[[], BaseCheckpointSaver[str]]) -> dict[str, int]:
    """Run the suite and return the number of cases of each capability that passed, or fail with those that did not."""

    @checkpointer_test(name="agenthall")
    async def fresh() -> AsyncIterator[BaseCheckpointSaver[str]]:
        yield saver()

    report = await validate(fresh)
    failures = [failure for result in report.results.values() for failure in result.failures]
    assert not failures
    return {name: result.tests_passed for name, result in report.results.items() if result.detected}


async def test_the_saver_of_requests_conforms(database: str) -> None:
    checkpoints = Checkpoints(database, size=2)
    await checkpoints.start()
    try:
        assert await _passed(checkpoints.saver) == PASSED
    finally:
        await checkpoints.stop()


async def test_the_saver_of_a_claimed_run_conforms(storage: RunStorage, database: str) -> None:
    run = await storage.claim_new_run(WORKER)
    checkpoints = Checkpoints(database, size=2)
    await checkpoints.start()
    try:
        assert await _passed(checkpoints.with_lease(WORKER, run.run_id, run.attempt).saver) == PASSED
    finally:
        await checkpoints.stop()
