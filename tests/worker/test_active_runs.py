"""A worker counts the runs of agents elsewhere apart from those in its slots."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from robyn_server.core.registry.instances import INSTANCES_GRAPH
from robyn_server.core.runs import ClaimedRun
from robyn_server.worker.active_runs import ActiveRun, ActiveRuns, Capacity

LIMITS = Capacity(2, 3)


def _active(graph: str, run_id: UUID | None = None, attempt: int = 1) -> ActiveRun:
    ids = run_id or uuid4(), uuid4(), uuid4()
    return ActiveRun(ClaimedRun(*ids, 1, graph, "ada", None, attempt, {}, {}, True, False, None, 0))


def test_each_kind_of_run_takes_room_of_its_own() -> None:
    runs, here, elsewhere = ActiveRuns(), _active("echo"), _active(INSTANCES_GRAPH)
    for each in (here, elsewhere):
        runs.add(each)
    assert runs.free(LIMITS) == Capacity(1, 2)
    runs.discard(elsewhere)
    runs.discard(elsewhere)
    assert runs.free(LIMITS) == Capacity(1, 3)
    assert list(runs) == [here]


def test_a_second_attempt_takes_the_place_of_the_first_only_after_it() -> None:
    runs, first = ActiveRuns(), _active("echo")
    again = _active("echo", first.run.run_id, 2)
    runs.add(first)
    with pytest.raises(ValueError, match="is active"):
        runs.add(again)
    runs.discard(first)
    runs.add(again)
    runs.discard(first)
    assert runs.find(again.lease) is again
    assert runs.find(first.lease) is None
