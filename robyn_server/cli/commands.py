"""The commands of `agenthall` and their options."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from . import run_process
from .agents import agents
from .database import database_setting, wrong_usage
from .keys import keys
from .options import DataDir


class LogFormat(StrEnum):
    """As in the settings, which are not imported here."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


Port = Annotated[int, typer.Option(envvar="AGENTHALL_PORT", min=0, max=65535, help="Port; 0 picks a free one.")]
Host = Annotated[str, typer.Option(envvar="AGENTHALL_HOST", help="Address to listen on.")]
Format = Annotated[LogFormat, typer.Option(envvar="AGENTHALL_LOG_FORMAT", help="How to write logs.")]

commands = typer.Typer(
    help="An agent server on your own Postgres: rows in a catalogue answer through the LangGraph API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
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
) -> None:
    """Start everything: database, web, worker, sockets, demo.

    Without DATABASE_URL an embedded PostgreSQL is started, and the demo is loaded into it while it is empty.
    """
    from robyn_server.core.errors import Misconfigured
    from robyn_server.runtime.serve import Serve
    from robyn_server.runtime.serve import serve as run

    try:
        raise typer.Exit(run(Serve(port=port, host=host, data_dir=data_dir, log_format=log_format.value)))
    except Misconfigured as error:
        from robyn_server.doctor.port import who_has

        if error.field == "port" and (who := who_has(host, port, data_dir)):
            raise Misconfigured(f"port {port} on {host} is {who}; choose another with --port", field="port") from None
        raise


@commands.command()
def web(
    port: Port = 2024,
    host: Host = "127.0.0.1",
    log_format: Format = LogFormat.AUTO,
) -> None:
    """Run one web process: HTTP and streams."""
    run_process("web", port=port, host=host, log_format=log_format.value)


@commands.command()
def worker(log_format: Format = LogFormat.AUTO) -> None:
    """Run one worker: claims runs and executes them."""
    run_process("worker", log_format=log_format.value)


@commands.command()
def sockets(
    port: Annotated[
        int, typer.Option(envvar="AGENTHALL_SOCKETS_PORT", min=0, max=65535, help="Port; 0 picks a free one.")
    ] = 2025,
    host: Host = "127.0.0.1",
    log_format: Format = LogFormat.AUTO,
) -> None:
    """Run the sockets process: instances register and stay alive over WebSockets."""
    run_process("sockets", sockets_port=port, host=host, log_format=log_format.value)


@commands.command()
def sweep(
    once: Annotated[bool, typer.Option("--once", help="One sweep, and show what it wrote down.")] = False,
    data_dir: DataDir = Path(".agenthall"),
    log_format: Format = LogFormat.AUTO,
) -> None:
    """Write down which registered instances have lapsed. Every web and sockets process does it too; this one needs none of them."""
    with database_setting(data_dir) as given:
        swept = run_process("sweep", once, log_format=log_format.value, **given)
    if swept is not None:
        typer.echo(
            f"stale {swept.stale}, inactive {swept.inactive}, deleted {swept.deleted}; "
            f"live {swept.live}, brakes {swept.braked_sets}"
        )


@commands.command()
def migrate(data_dir: DataDir = Path(".agenthall")) -> None:
    """Bring the database's schema up to date."""
    with database_setting(data_dir) as given:
        applied: list[str] = run_process("migrate", **given)
    typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to apply")


@commands.command()
def sync(
    scope: Annotated[
        str | None, typer.Option(help="`all` or org:<uuid>[,org:<uuid>]. Unset: AGENT_SYNC_SCOPE.")
    ] = None,
    agent: Annotated[UUID | None, typer.Option(metavar="ID", help="This agent only.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; nothing is written.")] = False,
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """Bring assistants up to date with the catalogue, and show what changed; exit code 1 when an agent failed."""
    from robyn_server.core.errors import Misconfigured
    from robyn_server.services.agent_sync import SyncRequest

    from .sync import progress_bar, show

    if scope is not None and agent is not None:
        raise Misconfigured("--scope and --agent: name one of them")
    with wrong_usage(), database_setting(data_dir) as given, progress_bar() as bar:
        report = run_process("sync", SyncRequest(scope, agent, dry_run), bar, **given)
    show(report)
    raise typer.Exit(1 if report.counters["failed"] else 0)


@commands.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(context: typer.Context, data_dir: DataDir = Path(".agenthall")) -> None:
    """Open psql on the server's database; further arguments are psql's (-c "select …")."""
    from robyn_server.runtime.psql import run_psql

    run_psql(data_dir, context.args)


commands.add_typer(keys, name="keys")
commands.add_typer(agents, name="agents")

catalogue = typer.Typer(help="The product tables that define agents.", no_args_is_help=True)
commands.add_typer(catalogue, name="catalogue")


@catalogue.command("install")
def catalogue_install(
    show: Annotated[bool, typer.Option("--print", help="Print the SQL; nothing is applied.")] = False,
    view: Annotated[bool, typer.Option("--view", help="The contract's view and its grants, not the triggers.")] = False,
    grants: Annotated[bool, typer.Option("--grants", help="The grants on the five tables, not the triggers.")] = False,
    role: Annotated[str | None, typer.Option(help="The role that --view and --grants grant to.")] = None,
) -> None:
    """Print the SQL that makes an edit in the catalogue known to the server within a second, or the contract as a view.

    It is for an operator to read and to apply: agenthall catalogue install --print | psql "$CATALOGUE_DATABASE_URL"
    """
    from robyn_server.core.errors import Misconfigured
    from robyn_server.files import CATALOGUE_FEED

    from .catalogue import contract_sql

    if not show:
        raise Misconfigured("the catalogue is yours: use --print, read the SQL, and apply it with psql")
    if view and grants:
        raise Misconfigured("--view and --grants: name one of them; a view comes with its grants")
    text = contract_sql(role, view=view) if view or grants else CATALOGUE_FEED.read_text(encoding="utf-8")
    typer.echo(text, nl=False)


@commands.command()
def doctor(
    port: Port = 2024,
    host: Host = "127.0.0.1",
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """Check settings, port and database; exit code 1 when something is wrong."""
    from robyn_server.doctor.checks import table
    from robyn_server.doctor.examination import examine

    checks = examine(host, port, data_dir)
    typer.echo(table(checks))
    raise typer.Exit(0 if all(check.passed for check in checks) else 1)
