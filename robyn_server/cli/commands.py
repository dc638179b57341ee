"""The commands of `agenthall` and their options."""

import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from robyn_server.terminal import has_colour

from .agents.commands import agents
from .agents.jobs import jobs
from .catalogue.mapping import catalogue_map
from .chat.command import chat
from .database import database_setting, given_database, wrong_usage
from .operator.backup import backup, restore
from .operator.credentials import credentials
from .operator.disk_usage import storage
from .operator.erase import erase
from .operator.keys import keys
from .options import Config, DataDir, Format, Host, LogFormat, Port
from .process import run_process
from .projects import dev, new
from .resources.assistants import assistants
from .resources.audit import list_audit
from .resources.connection import connect
from .resources.runs import runs
from .resources.threads import threads
from .server_command import server_command

commands = typer.Typer(
    help="An agent server on your own Postgres: rows in a catalogue answer through the LangGraph API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if has_colour(sys.stdout) else None,  # Rich takes 60 ms to import: not for scripts
)


def _print_version(is_given: bool) -> None:
    if is_given:
        from robyn_server import __version__

        typer.echo(f"agenthall {__version__}")
        raise typer.Exit


@commands.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@commands.command()
def serve(
    port: Port = 2024,
    host: Host = "127.0.0.1",
    data_dir: DataDir = Path(".agenthall"),
    log_format: Format = LogFormat.AUTO,
    config: Config = None,  # noqa: ARG001 - its callback uses it
) -> None:
    """Start everything: database, web, worker, sockets and demo.

    Without DATABASE_URL, start an embedded PostgreSQL, and load the demo while it is empty. A project, or a catalogue
    elsewhere, has no demo.
    """
    from robyn_server.supervisor.serve_options import ServeOptions

    from .serving import run_serve

    run_serve(ServeOptions(port=port, host=host, data_dir=data_dir, log_format=log_format.value))


@commands.command()
def web(
    port: Port = 2024,
    host: Host = "127.0.0.1",
    log_format: Format = LogFormat.AUTO,
    config: Config = None,  # noqa: ARG001 - as above
) -> None:
    """Run one web process: HTTP and streams."""
    run_process("web", port=port, host=host, log_format=log_format.value)


@commands.command()
def worker(
    log_format: Format = LogFormat.AUTO,
    config: Config = None,  # noqa: ARG001 - as above
) -> None:
    """Run one worker, which claims runs and executes them."""
    run_process("worker", log_format=log_format.value)


@commands.command()
def sockets(
    port: Annotated[
        int, typer.Option(envvar="AGENTHALL_SOCKETS_PORT", min=0, max=65535, help="Port; 0 picks a free one.")
    ] = 2025,
    host: Host = "127.0.0.1",
    log_format: Format = LogFormat.AUTO,
) -> None:
    """Run the sockets process, where instances register over WebSockets."""
    run_process("sockets", sockets_port=port, host=host, log_format=log_format.value)


@commands.command()
def sweep(
    once: Annotated[bool, typer.Option("--once", help="Sweep once, and show what changed.")] = False,
    data_dir: DataDir = Path(".agenthall"),
    log_format: Format = LogFormat.AUTO,
) -> None:
    """Mark registered instances whose lease has lapsed. Web and sockets processes do it, too."""
    with database_setting(data_dir) as given:
        swept = run_process("operator.sweep", once, log_format=log_format.value, **given)
    if swept is not None:
        typer.echo(
            f"stale {swept.stale}, inactive {swept.inactive}, deleted {swept.deleted}; "
            f"live {swept.live}, brakes {swept.braked_sets}"
        )


@commands.command()
def migrate(data_dir: DataDir = Path(".agenthall")) -> None:
    """Migrate the database's schema."""
    with database_setting(data_dir) as given:
        applied: list[str] = run_process("operator.migrate", **given)
    typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to apply")


@commands.command()
def sync(
    scope: Annotated[
        str | None, typer.Option(help="`all` or org:<uuid>[,org:<uuid>]. Unset: AGENT_SYNC_SCOPE.")
    ] = None,
    agent: Annotated[UUID | None, typer.Option(metavar="ID", help="This agent only.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")] = False,
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """Sync assistants with the catalogue, and show what changed. The exit code is 1 if an agent failed."""
    from robyn_server.agent_sync.reports import SyncRequest
    from robyn_server.core.errors import Misconfigured

    from .catalogue.sync import progress_bar, show

    if scope is not None and agent is not None:
        raise Misconfigured("--scope and --agent: name one of them")
    with wrong_usage(), database_setting(data_dir) as given, progress_bar() as bar:
        report = run_process("operator.sync", SyncRequest(scope, agent, dry_run), bar, **given)
    show(report)
    raise typer.Exit(1 if report.counters["failed"] else 0)


@commands.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(
    context: typer.Context,
    tenant: Annotated[
        UUID | None, typer.Option(metavar="UUID", help="Show what this organization sees. Unset: everything.")
    ] = None,
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """Open psql on the server's database. Further arguments go to psql (-c "select …")."""
    from robyn_server.supervisor.postgres.psql import run_psql

    given_database()
    run_psql(data_dir, context.args, tenant)


commands.command()(new)
commands.command()(dev)
commands.command()(backup)
commands.command()(restore)
commands.command()(storage)
commands.command()(chat)
commands.add_typer(keys, name="keys")
commands.add_typer(erase, name="erase")
commands.add_typer(credentials, name="credentials")
commands.add_typer(agents, name="agents")
commands.add_typer(jobs, name="jobs")
commands.add_typer(assistants, name="assistants")
commands.add_typer(threads, name="threads")
commands.add_typer(runs, name="runs")
server_command(commands, "audit", connect)(list_audit)

catalogue = typer.Typer(help="The product's tables that define agents.", no_args_is_help=True)
commands.add_typer(catalogue, name="catalogue")
catalogue.command("map")(catalogue_map)


@catalogue.command("install")
def catalogue_install(
    show: Annotated[bool, typer.Option("--print", help="Print the SQL, and apply nothing. Required.")] = False,
    view: Annotated[
        bool, typer.Option("--view", help="Print a view of the catalogue and its grants instead of triggers.")
    ] = False,
    grants: Annotated[
        bool, typer.Option("--grants", help="Print grants on the five tables instead of triggers.")
    ] = False,
    role: Annotated[str | None, typer.Option(help="Role that --view and --grants grant to.")] = None,
) -> None:
    """Print SQL for the five standard tables: triggers that report edits, a view, or grants.

    Read it and apply it: agenthall catalogue install --print | psql "$CATALOGUE_DATABASE_URL"
    """
    from robyn_server.core.errors import Misconfigured

    from .catalogue.contract import feed_sql, grants_sql, view_sql

    if not show:
        raise Misconfigured("the catalogue is yours: use --print, read the SQL, and apply it with psql")
    if view and grants:
        raise Misconfigured("--view and --grants: name one of them; a view comes with its grants")
    typer.echo(view_sql(role) if view else grants_sql(role) if grants else feed_sql(), nl=False)


@commands.command()
def doctor(
    context: typer.Context,
    port: Port = 2024,
    host: Host = "127.0.0.1",
    data_dir: DataDir = Path(".agenthall"),
    config: Config = None,  # noqa: ARG001 - as above
    as_json: Annotated[bool, typer.Option("--json", help="Print `passed` and `checks` as JSON.")] = False,
) -> None:
    """Check settings, port and database. The exit code is 1 if something is wrong."""
    from robyn_server.doctor.check import json_text, table
    from robyn_server.doctor.runner import run_checks

    from .doctor_colours import with_colours

    source = context.get_parameter_source("port")
    is_default = source is not None and source.name == "DEFAULT"
    checks = run_checks(host, port, data_dir, port_is_default=is_default)
    typer.echo(json_text(checks) if as_json else with_colours(table(checks)))
    raise typer.Exit(0 if all(check.passed for check in checks) else 1)
