"""`agenthall credentials`: credentials for MCP servers, directly in the database, whether or not a server runs."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from robyn_server.cli.database import database_setting, wrong_usage
from robyn_server.cli.options import DataDir, Output
from robyn_server.cli.process import run_process

if TYPE_CHECKING:
    from robyn_server.core.mcp_credentials import StoredEntry
    from robyn_server.credentials.entries import CredentialEntries, Resealed

credentials = typer.Typer(help="Credentials with which agents connect to MCP servers.", no_args_is_help=True)

Server = Annotated[str, typer.Argument(metavar="URL", help="URL of the MCP server, as agents name it.")]
Organization = Annotated[
    UUID | None, typer.Option("--tenant", metavar="UUID", help="Organization that uses it. Unset: all that have none.")
]


@credentials.command("put")
def put(
    url: Server,
    env: Annotated[
        str | None, typer.Option("--env", metavar="NAME", help="Variable of the workers that holds the credential.")
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="PATH", help="File of the workers that holds it; read at each use.")
    ] = None,
    pass_through: Annotated[
        bool, typer.Option("--pass-through", help="Send the token of the run's caller, if it is for an --audience.")
    ] = False,
    exchange: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Token endpoint that exchanges the caller's token (RFC 8693) for one of the server."
        ),
    ] = None,
    connect: Annotated[
        bool, typer.Option("--connect", help="Each user connects to the server (OAuth 2.1), when a run first needs it.")
    ] = False,
    audience: Annotated[
        list[str] | None,
        typer.Option(
            help="With --pass-through: audience of tokens to pass; may be repeated. With --exchange: the one to ask for."
        ),
    ] = None,
    client_id: Annotated[
        str | None, typer.Option(help="With --exchange or --connect: how this server names itself.")
    ] = None,
    client_secret: Annotated[
        bool, typer.Option("--client-secret", help="With --client-id: read its secret from standard input.")
    ] = False,
    scope: Annotated[
        str | None, typer.Option(help="With --exchange or --connect: scopes to ask for, separated by spaces.")
    ] = None,
    header: Annotated[str, typer.Option(help="Header that carries the credential.")] = "Authorization",
    scheme: Annotated[str, typer.Option(help="Word before it in the header Authorization; empty for none.")] = "Bearer",
    tenant: Organization = None,
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """Give a server a credential, or replace it. Without another source it is read from standard input, and stored
    encrypted."""
    from robyn_server.core.mcp_credentials import CredentialEntry, CredentialKind

    chosen = {
        CredentialKind.ENV: env is not None,
        CredentialKind.FILE: file is not None,
        CredentialKind.PASS_THROUGH: pass_through,
        CredentialKind.EXCHANGE: exchange is not None,
        CredentialKind.CONNECTION: connect,
    }
    kinds = [kind for kind, is_chosen in chosen.items() if is_chosen] or [CredentialKind.STORED]
    if len(kinds) > 1:
        raise typer.BadParameter(
            "give one of --env, --file, --pass-through, --exchange and --connect", param_hint="URL"
        )
    given = {
        "name": env,
        "path": file,
        "token_endpoint": exchange,
        "audience": " ".join(audience or ()),
        "client_id": client_id,
        "scope": scope,
    }
    options = {key: value for key, value in given.items() if value}
    entry = CredentialEntry(tenant, url, kinds[0], {**options, "header": header, "scheme": scheme})
    secret = _read_secret() if kinds[0] is CredentialKind.STORED or client_secret else ""
    made = _run(data_dir, lambda entries: entries.put(entry, secret, f"cli:{_user()}"))
    typer.echo(f"{made.entry.url} has a credential ({_source(made)})")


@credentials.command("list")
def list_credentials(
    output: Annotated[Output, typer.Option("--output", "-o", help="Output format.")] = Output.TABLE,
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """List servers and where their credentials come from, without the credentials."""
    found = _run(data_dir, lambda entries: entries.list())
    typer.echo(_as_json(found) if output is Output.JSON else _as_table(found))


@credentials.command("delete")
def delete(url: Server, tenant: Organization = None, data_dir: DataDir = Path(".agenthall")) -> None:
    """Delete a server's credential. Runs that begin later have none."""
    _run(data_dir, lambda entries: entries.delete(url, tenant))
    typer.echo(f"deleted the credential of {url}")


@credentials.command("rotate")
def rotate(
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Put a new key in front of the file of keys first.")
    ] = False,
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """Encrypt everything with the first key. After that, older keys can be removed."""
    done: Resealed = _run(data_dir, lambda entries: entries.rotate(new_key=new_key))
    typer.echo(f"encrypted again: {done.changed}")
    if done.unreadable:
        sys.stderr.write(f"agenthall: no key opens the credentials of {', '.join(done.unreadable)}\n")
        raise typer.Exit(1)


@credentials.command("new-key")
def new_key(
    aws_kms: Annotated[
        str | None,
        typer.Option(
            "--aws-kms", help="Id, ARN or alias of a key of AWS KMS, which encrypts the new one.", metavar="KEY"
        ),
    ] = None,
) -> None:
    """Print a key for AGENTHALL_SECRET_KEY. It is stored nowhere."""
    from robyn_server.credentials.key_ring import new_key as make
    from robyn_server.credentials.key_service import new_wrapped_key

    typer.echo(make() if aws_kms is None else new_wrapped_key(aws_kms))


def _read_secret() -> str:
    """Return the first line of standard input, or what is typed without an echo."""
    text = getpass.getpass("Credential: ") if sys.stdin.isatty() else sys.stdin.readline()
    secret = text.strip()
    if not secret.isascii() or not secret.isprintable() or not secret:
        raise typer.BadParameter("must be one line of printable ASCII characters", param_hint="standard input")
    return secret


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "unknown"


def _run(data_dir: Path, work: Any) -> Any:
    """Run `work` on the database. Raises Misconfigured, NotFound."""

    async def awaited(entries: CredentialEntries) -> Any:
        return await work(entries)

    with wrong_usage(), database_setting(data_dir) as given:
        return run_process("operator.credentials", awaited, **given, data_dir=data_dir)


def _source(stored: StoredEntry) -> str:
    options = stored.entry.options
    named = options.get("name") or options.get("path") or options.get("token_endpoint") or options.get("audience")
    return f"{stored.entry.kind}:{named}" if named else str(stored.entry.kind)


def _rendered(stored: StoredEntry) -> dict[str, Any]:
    entry = stored.entry
    return {
        "url": entry.url,
        "organization_id": None if entry.organization_id is None else str(entry.organization_id),
        "kind": entry.kind,
        "options": dict(entry.options),
        "updated_at": stored.updated_at,
        "updated_by": stored.updated_by,
    }


def _as_json(found: tuple[StoredEntry, ...]) -> str:
    import orjson

    return orjson.dumps([_rendered(each) for each in found], option=orjson.OPT_INDENT_2).decode()


def _as_table(found: tuple[StoredEntry, ...]) -> str:
    """Return plain columns, for people and for programs such as `cut`."""
    if not found:
        return "there are no credentials"
    rows = [("URL", "TENANT", "SOURCE", "HEADER", "UPDATED")]
    rows += [
        (
            each.entry.url,
            str(each.entry.organization_id or "–"),
            _source(each),
            each.entry.options["header"],
            f"{each.updated_at:%Y-%m-%dT%H:%M}",
        )
        for each in found
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
