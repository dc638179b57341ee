"""The events of a run, and their order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from servers.live_server import SAMPLES

from robyn_server.core.ids import new_id
from robyn_server.core.runs import ClaimedRun
from robyn_server.graphs.execution import Stop, execute
from robyn_server.graphs.loading.served_graphs import Graphs


class _ObservingSaver(InMemorySaver):
    """Notes which counts had been emitted when the checkpoint of each count was written."""

    def __init__(self, emitted: list[int]) -> None:
        super().__init__()
        self.emitted_before: dict[int, list[int]] = {}
        self._emitted = emitted

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        count = checkpoint["channel_values"].get("count")
        if count is not None:
            self.emitted_before[count] = list(self._emitted)
        return await super().aput(config, checkpoint, metadata, new_versions)


class _OneSaver:
    max_state_bytes = 1_000_000

    def __init__(self, saver: InMemorySaver) -> None:
        self._saver = saver

    def saver(self) -> InMemorySaver:
        return self._saver


@pytest.mark.parametrize("modes", [["updates"], ["updates", "custom"]])
async def test_the_updates_of_a_step_are_emitted_before_its_checkpoint_is_written(modes: list[str]) -> None:
    emitted: list[int] = []

    async def emit(event: str, data: bytes) -> None:
        if event == "updates":
            emitted.append(json.loads(data)["step"]["count"])

    saver = _ObservingSaver(emitted)
    run = _run({"input": {"until": 3}, "stream_mode": modes, "durability": "sync"})
    await execute(
        run, Graphs({"counter": f"{SAMPLES}:counter"}, "offline:demo"), _OneSaver(saver), _NO_STORE, emit, Stop()
    )
    assert saver.emitted_before == {1: [1], 2: [1, 2], 3: [1, 2, 3]}


_NO_STORE: Any = None
"""The graph does not use it."""


def _run(kwargs: dict[str, Any]) -> ClaimedRun:
    return ClaimedRun(
        run_id=new_id(),
        thread_id=new_id(),
        assistant_id=new_id(),
        assistant_version=1,
        graph_id="counter",
        owner_id="somebody",
        organization_id=None,
        attempt=1,
        metadata={},
        kwargs=kwargs,
        keep_thread=True,
        resumable=True,
        cancel_action=None,
        last_seq=0,
    )
