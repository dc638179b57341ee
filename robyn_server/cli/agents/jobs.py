"""`agenthall jobs`: work that the server gives to instances, over its HTTP API."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robyn_server.cli.options import Out, Output
from robyn_server.cli.server_command import server_command

from .options import open_registry

if TYPE_CHECKING:
    from .registry_http import RegistryClient

jobs = typer.Typer(help="Jobs: work that is given to registered instances.", no_args_is_help=True)

WATCH_SECONDS = 1.0
_WATCHED = 500
"""Jobs that a watch reads each time, the newest first."""
_COLUMNS = ("job_id", "agent_id", "state", "attempt", "instance_id", "events", "created_at", "ended_at")


class JobState(StrEnum):
    """As in `core`, which is not imported here."""

    QUEUED = "queued"
    OFFERED = "offered"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


_OPEN = (JobState.QUEUED, JobState.OFFERED, JobState.RUNNING)

JobId = Annotated[str, typer.Argument(metavar="JOB_ID", help="The job's id.")]
Agent = Annotated[str | None, typer.Option("--agent", metavar="AGENT_ID", help="Jobs of this type of agent.")]
State = Annotated[JobState | None, typer.Option(help="Jobs in this state.")]
Thread = Annotated[str | None, typer.Option("--thread", metavar="THREAD_ID", help="Jobs of this thread.")]
Run = Annotated[str | None, typer.Option("--run", metavar="RUN_ID", help="Jobs of this run.")]
Instance = Annotated[
    str | None,
    typer.Option("--instance", metavar="ID", help="Jobs that this instance has, or had last, named as in `agents`."),
]


@server_command(jobs, "list", open_registry)
def list_jobs(
    registry: RegistryClient,
    agent: Agent = None,
    state: State = None,
    thread: Thread = None,
    run: Run = None,
    instance: Instance = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Jobs to show, the newest first.")] = 100,
    output: Out = Output.TABLE,
) -> None:
    """List the organization's jobs, the newest first."""
    from .format import print_rows

    filters = {"agent_id": agent, "state": state and state.value, "thread_id": thread, "run_id": run}
    if instance is not None:
        filters |= {"registration_id": registry.find(instance, agent)["registration_id"], "agent_id": None}
    print_rows(list(registry.jobs(filters, limit)), _COLUMNS, output)


@server_command(jobs, "show", open_registry)
def show(
    registry: RegistryClient,
    job_id: JobId,
    output: Out = Output.TABLE,
) -> None:
    """Show a job, and its offers: which instance was chosen, why, and how it ended."""
    from .format import as_json, one_table, print_rows, print_shown

    found = registry.get_job(job_id)
    if output is Output.JSON:
        print_shown(as_json(found), output)
        return
    offers = found.pop("offers")
    print_shown(one_table(found), output)
    print_rows(
        offers, ("attempt", "instance_id", "chosen_by", "offered_at", "accepted_at", "outcome", "detail"), output
    )


@server_command(jobs, "cancel", open_registry)
def cancel(
    registry: RegistryClient,
    job_id: Annotated[str | None, typer.Argument(metavar="[JOB_ID]", help="The job's id.")] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="AGENT_ID", help="Cancel all jobs of this type of agent instead.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Reason, shown with the job.")] = "cancelled by an operator",
    grace: Annotated[float, typer.Option(min=0, max=3600, help="Seconds that its instance has to stop.")] = 10.0,
    output: Out = Output.TABLE,
) -> None:
    """Cancel a job, or all jobs of a type of agent that have not ended. Their runs end with an error."""
    if (job_id is None) == (agent is None):
        raise typer.BadParameter("give the id of a job, or --agent", param_hint="JOB_ID")
    named = [job_id] if job_id is not None else (each["job_id"] for each in _open_jobs(registry, agent))
    _print_cancelled((registry.cancel_job(each, reason, grace) for each in named), output, is_one=job_id is not None)


def _open_jobs(registry: RegistryClient, agent: str | None) -> Iterator[dict[str, Any]]:
    """Yield the jobs of the agent that have not ended: those first that could still be given to an instance."""
    for state in _OPEN:
        yield from list(registry.jobs({"agent_id": agent, "state": state.value}, None))


def _print_cancelled(cancelled: Iterable[dict[str, Any]], output: Output, *, is_one: bool) -> None:
    from .format import as_json, as_line

    found = None
    for found in cancelled:
        is_asked = found["state"] == "running"
        shown = f"job {found['job_id']} {'is asked to stop' if is_asked else 'is ' + found['state']}"
        typer.echo((as_json(found) if is_one else as_line(found)) if output is Output.JSON else shown)
    if found is None and output is Output.TABLE:
        typer.echo("no job is open")


@server_command(jobs, "watch", open_registry)
def watch(
    registry: RegistryClient,
    agent: Agent = None,
    output: Out = Output.TABLE,
) -> None:
    """Show each change of a job, until Ctrl-C. It looks once a second. JSON: one object per line."""
    from .commands import until_interrupted
    from .format import as_line, job_head, job_line

    if output is Output.TABLE:
        typer.echo(job_head())
    with until_interrupted():
        for job in _changes(registry, agent):
            typer.echo(as_line(job) if output is Output.JSON else job_line(job))


def _changes(registry: RegistryClient, agent: str | None) -> Iterator[dict[str, Any]]:
    """Yield the jobs whose state, attempt or instance differs from the last look; at first, those that are open."""
    known: dict[str, tuple[Any, ...]] = {}
    is_first = True
    while True:
        found = list(registry.jobs({"agent_id": agent}, _WATCHED))
        seen = {job["job_id"]: (job["state"], job["attempt"], job["instance_id"]) for job in found}
        for job in reversed(found):
            is_news = known.get(job["job_id"]) != seen[job["job_id"]]
            if is_news and not (is_first and job["ended_at"] is not None):
                yield job
        known, is_first = seen, False
        time.sleep(WATCH_SECONDS)
