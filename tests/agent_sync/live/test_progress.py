"""The progress of a sync never exceeds the number of agents that was announced."""

from __future__ import annotations

from dataclasses import dataclass, field

from catalogues.template_agents import OFF, ON, USERS, sync_for_user

from robyn_server.agent_sync.live.progress import sync_with_progress
from robyn_server.agent_sync.reports import SyncRequest
from robyn_server.cli.catalogue.sync import progress_bar


@dataclass
class Reported:
    """The progress that was reported, in order."""

    total: int = 0
    reached_so_far: list[int] = field(default_factory=list)

    def expect(self, total: int) -> None:
        self.total = total

    def reached(self, done: int) -> None:
        self.reached_so_far.append(done)


async def watched(real_pool, system_pool, options, *, dry_run):
    progress = Reported()
    report = await sync_with_progress(
        real_pool, system_pool, ["agent"], options, SyncRequest(None, None, dry_run), progress
    )
    return report, progress


async def test_templates_that_users_have_are_expected_and_those_that_nobody_has_are_not(
    pool, catalogue, postgres_storage, real_pool, system_pool
):
    await catalogue.add_agent(is_global=True)
    copied, _ = [await catalogue.add_agent() for _ in range(2)]
    for user in USERS:
        await sync_for_user(pool, postgres_storage, copied, user)
    planned, progress = await watched(real_pool, system_pool, ON, dry_run=True)
    assert (planned.counters["total"], progress.total, max(progress.reached_so_far)) == (2, 2, 2)
    done, progress = await watched(real_pool, system_pool, ON, dry_run=False)
    assert (done.counters["total"], progress.total) == (2, 2)
    assert max(progress.reached_so_far, default=0) <= 2


async def test_what_a_dry_run_would_retire_does_not_count_as_an_agent_of_the_catalogue(
    pool, catalogue, postgres_storage, real_pool, system_pool
):
    gone, _ = [await catalogue.add_agent() for _ in range(2)]
    await watched(real_pool, system_pool, OFF, dry_run=False)
    await catalogue.update_agent(gone, status="off")
    planned, progress = await watched(real_pool, system_pool, OFF, dry_run=True)
    assert (planned.counters["retired"], progress.total, max(progress.reached_so_far)) == (1, 1, 1)


def test_a_bar_that_reaches_more_than_it_was_to_expect_expects_more(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar() as bar:
        bar.expect(1)
        bar.reached(3)
    assert "3/3" in capsys.readouterr().err
