"""Hypothesis compares the order of claims with what each tenant and owner may expect."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import TypeAlias
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from queue_state_machine import wait_in
from run_storage import GRAPH, LEASE, RunStorage, ended_run, open_run_storage

from robyn_server.core.access.principal import Principal
from robyn_server.core.ids import new_id
from robyn_server.core.queue.limits import RunningLimits
from robyn_server.storage.runs.queue import RunQueue

ACME, BETA, CORP = UUID(int=0xA), UUID(int=0xB), UUID(int=0xC)
WEIGHTS = {BETA: 2}
Line: TypeAlias = tuple[str, str]
"""A tenant and an owner in it."""
PLACES = [(ACME, "ann"), (ACME, "bob"), (BETA, "ann"), (BETA, "cy"), (CORP, "dan"), (None, "eve"), (None, "ann")]
ENQUEUE = st.tuples(st.sampled_from(PLACES), st.integers(1, 5))
CLAIM = st.integers(1, 7)


def _weight(tenant: str) -> int:
    return WEIGHTS.get(UUID(tenant), 1) if "-" in tenant else 1


class _Model:
    """The lines of waiting runs, and how often others were served since a line or a tenant was."""

    def __init__(self) -> None:
        self.waiting: dict[Line, list[UUID]] = defaultdict(list)
        self.passed: dict[str, Counter[str]] = {}
        self.passed_owners: dict[Line, Counter[str]] = {}
        self.is_emptied = False

    def add(self, line: Line, run_id: UUID) -> None:
        if not any(runs for (tenant, _), runs in self.waiting.items() if tenant == line[0]):
            self.passed[line[0]] = Counter()
        if not self.waiting[line]:
            self.passed_owners[line] = Counter()
        self.waiting[line].append(run_id)

    def claimed(self, lines: list[Line], run_ids: list[UUID], room: int) -> None:
        waiting = sum(map(len, self.waiting.values()))
        assert len(run_ids) == min(room, waiting)
        for line, run_id in zip(lines, run_ids, strict=True):
            self._serve(line, run_id, ordered=waiting > room)
        if waiting > room and not self.is_emptied:
            self._check_shares()
        else:  # a claim that took all needed no order, and the one after it did not know better
            self.passed = {tenant: Counter() for tenant in self.passed}
            self.passed_owners = {line: Counter() for line in self.passed_owners}
        self.is_emptied = len(run_ids) < room

    def _serve(self, line: Line, run_id: UUID, *, ordered: bool) -> None:
        if ordered:
            assert self.waiting[line][0] == run_id
        self.waiting[line].remove(run_id)
        tenant, owner = line
        for other, passed in self.passed.items():
            if other != tenant:
                passed[tenant] += 1
        for (other, colleague), passed in self.passed_owners.items():
            if other == tenant and colleague != owner:
                passed[owner] += 1
        self.passed[tenant], self.passed_owners[line] = Counter(), Counter()

    def _check_shares(self) -> None:
        for line, runs in self.waiting.items():
            if not runs:
                continue
            for other, count in self.passed[line[0]].items():
                assert count <= _weight(other), f"{other} was served {count} times while {line[0]} waited"
            for colleague, count in self.passed_owners[line].items():
                assert count <= 1, f"{colleague} was served {count} times while {line[1]} waited"


async def _play(storage: RunStorage, steps: list[int | tuple[tuple[UUID | None, str], int]]) -> None:
    await storage.admin.execute(
        "truncate agenthall.threads, agenthall.runs, agenthall.run_events, agenthall.run_undo cascade"
    )
    queue, worker, model = RunQueue(storage.system, RunningLimits(weights=WEIGHTS)), new_id(), _Model()
    for step in steps:
        if isinstance(step, int):
            claimed = await queue.claim(worker, step, LEASE, [GRAPH])
            lines = [(str(run.organization_id or run.owner_id), run.owner_id) for run in claimed]
            model.claimed(lines, [run.run_id for run in claimed], step)
            await queue.flush(worker, [], [ended_run(run) for run in claimed])
        else:
            (organization, owner), count = step
            for _ in range(count):
                run_id = await storage.enqueue(
                    new_id(), Principal(owner, organizations=None), organization_id=organization
                )
                model.add((str(organization or owner), owner), run_id)


def test_turns_are_as_the_model_says(database: str) -> None:
    with asyncio.Runner() as runner:
        wait = wait_in(runner)
        opening = open_run_storage(database, size=1)
        storage = wait(opening.__aenter__())

        @settings(
            max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(st.lists(st.one_of(CLAIM, ENQUEUE), min_size=4, max_size=24))
        def play(steps: list[int | tuple[tuple[UUID | None, str], int]]) -> None:
            wait(_play(storage, steps))

        try:
            play()
        finally:
            wait(opening.__aexit__(None, None, None))
