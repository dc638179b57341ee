"""`agenthall runs`

The server lists the runs of one thread, and has no list across threads. Without --thread, these commands look into the
threads that changed last.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robyn_server.cli.options import Out, Output
from robyn_server.cli.server_command import server_command

from .connection import Limit, agent_names, connect, note

if TYPE_CHECKING:
    from robyn_server.cli.http.api import ApiClient, Run

runs = typer.Typer(help="Runs: executions of an agent.", no_args_is_help=True)

_THREADS = 20
_FEW = 5
"""Ids that an error lists."""

_MIN_PREFIX = 4


class RunStatus(StrEnum):
    """As in `core`, which is not imported here."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"


Thread = Annotated[
    str | None,
    typer.Option(metavar="ID", help=f"The run's thread. Unset: the {_THREADS} threads that changed last."),
]
Which = Annotated[str, typer.Argument(metavar="ID", help="The run's id, or a unique beginning of it.")]


@server_command(runs, "list", connect)
def list_runs(
    api: ApiClient,
    thread: Thread = None,
    status: Annotated[RunStatus | None, typer.Option(help="Runs with this status.")] = None,
    limit: Limit = 20,
    output: Out = Output.TABLE,
) -> None:
    """List runs, newest first."""
    from .tables import Column, ago, as_json, resource_table

    wanted = status and status.value
    threads = _threads(api, thread)
    found = [run for each in threads[:_THREADS] for run in api.runs(each, wanted, limit)]
    shown = sorted(found, key=lambda run: str(run["created_at"]), reverse=True)[:limit]
    if output is Output.JSON:
        typer.echo(as_json(shown))
    else:
        names = agent_names(api, [run["assistant_id"] for run in shown])
        columns = (
            Column("run", lambda run: run["run_id"]),
            Column("status", lambda run: run["status"]),
            Column("agent", lambda run: names[run["assistant_id"]], is_cut=True),
            Column("created", lambda run: ago(run["created_at"]), 70),
            Column("took", _took, 80),
            Column("thread", lambda run: run["thread_id"], 125),
        )
        typer.echo(resource_table(columns, shown, "no runs"), nl=False)
    if len(threads) > _THREADS:
        note(f"these are runs of the {_THREADS} threads that changed last; --thread ID lists those of another")


@server_command(runs, "show", connect)
def show_run(
    api: ApiClient,
    run_id: Which,
    thread: Thread = None,
    output: Out = Output.TABLE,
) -> None:
    """Show a run."""
    from .tables import as_json, fields_table

    run = _find(api, run_id, thread)
    if output is Output.JSON:
        typer.echo(as_json(run))
        return
    name = agent_names(api, [run["assistant_id"]])[run["assistant_id"]]
    kwargs = run.get("kwargs") or {}
    fields = (
        *((field, run[field]) for field in ("run_id", "thread_id", "status")),
        ("agent", name),
        *((field, run[field]) for field in ("assistant_id", "created_at", "updated_at")),
        ("took", _took(run)),
        ("input", kwargs.get("input")),
        ("command", kwargs.get("command")),
        ("metadata", run["metadata"]),
    )
    typer.echo(fields_table(fields), nl=False)


@server_command(runs, "cancel", connect)
def cancel_run(
    api: ApiClient,
    run_id: Which,
    thread: Thread = None,
    output: Out = Output.TABLE,
) -> None:
    """Cancel a run, and wait until it has ended. Its thread keeps the conversation."""
    from .tables import as_json

    found = _find(api, run_id, thread)
    api.cancel_run(found["thread_id"], found["run_id"])
    run = api.run(found["thread_id"], found["run_id"])
    typer.echo(as_json(run) if output is Output.JSON else f"run {run['run_id']} is {run['status']}")


def _threads(api: ApiClient, thread: str | None) -> list[str]:
    """Return the threads to look into, and one more if there are more."""
    if thread is not None:
        return [thread]
    where = {"sort_by": "updated_at", "sort_order": "desc", "select": ["thread_id"]}
    return [str(each["thread_id"]) for each in api.search("threads", where, _THREADS + 1)]


def _find(api: ApiClient, which: str, thread: str | None) -> Run:
    """Return the run. Raises NotFound, and Conflict if the beginning of an id fits several."""
    from robyn_server.cli.http.api import is_uuid
    from robyn_server.core.errors import Conflict, NotFound

    if thread is not None and is_uuid(which):
        return api.run(thread, which)
    wanted = which.lower()
    found = [
        run
        for each in _threads(api, thread)[:_THREADS]
        for run in api.runs(each)
        if len(which) >= _MIN_PREFIX and run["run_id"].startswith(wanted)
    ]
    if len(found) > 1:
        ids = ", ".join(run["run_id"] for run in found[:_FEW])
        raise Conflict(f"{len(found)} runs begin with {which}: {ids}" + (", …" if len(found) > _FEW else ""))
    if not found:
        where = f"thread {thread}" if thread else f"the {_THREADS} threads that changed last; name its --thread"
        raise NotFound(f"no run {which} in {where}")
    return found[0]


def _took(run: dict[str, Any]) -> str | None:
    from .tables import seconds_between

    if run["status"] in (RunStatus.PENDING, RunStatus.RUNNING):
        return None
    return seconds_between(run["created_at"], run["updated_at"])
