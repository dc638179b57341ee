"""`agenthall erase`: delete all data of a user or an organization, directly in the database."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from robyn_server.cli.database import database_setting, wrong_usage
from robyn_server.cli.options import DataDir, Out, Output
from robyn_server.cli.process import run_process

from .operator_name import operator

if TYPE_CHECKING:
    from robyn_server.core.erasure import Subject

erase = typer.Typer(help="Delete all data of a user or of an organization.", no_args_is_help=True)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show how many rows would be deleted, and delete nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@erase.command("user")
def erase_user(
    identity: Annotated[str, typer.Argument(metavar="ID", help="The identity, as in `sub` of the user's tokens.")],
    organization: Annotated[
        UUID | None,
        typer.Option(metavar="UUID", help="Only data in this organization. Unset: in all, and the user's store."),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: Out = Output.TABLE,
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """Delete all data of a user, and show how many rows of each table. It goes on where it was interrupted."""
    from robyn_server.core.erasure import Subject

    with wrong_usage():
        subject = Subject.user(identity, organization)
    _run(subject, data_dir, output, is_dry=dry_run, is_sure=yes)


@erase.command("organization")
def erase_organization(
    organization: Annotated[UUID, typer.Argument(metavar="ID", help="The organization's id.")],
    dry_run: DryRun = False,
    yes: Yes = False,
    output: Out = Output.TABLE,
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """Delete all data of an organization, and show how many rows of each table. It goes on where it was interrupted."""
    from robyn_server.core.erasure import Subject

    _run(Subject.organization(organization), data_dir, output, is_dry=dry_run, is_sure=yes)


def _run(subject: Subject, data_dir: Path, output: Output, *, is_dry: bool, is_sure: bool) -> None:
    if not is_dry and not is_sure:
        typer.confirm(f"Delete all data of {subject.type} {subject.id}? This cannot be undone.", abort=True, err=True)
    with database_setting(data_dir) as given:
        counts = run_process("operator.erase", operator(), subject, is_dry, **given)
    _print(counts, output)


def _print(counts: Mapping[str, int], output: Output) -> None:
    from robyn_server.cli.resources.tables import Column, as_json, resource_table

    if output is Output.JSON:
        typer.echo(as_json(counts))
        return
    rows = [{"table": table, "rows": count} for table, count in sorted(counts.items()) if count]
    columns = (Column("table", lambda each: each["table"]), Column("rows", lambda each: str(each["rows"])))
    typer.echo(resource_table(columns, rows, "there is nothing of this subject"), nl=False)
