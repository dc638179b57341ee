"""`agenthall keys`: manage API keys directly in the database, whether or not a server runs on it."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from robyn_server.cli.database import database_setting, wrong_usage
from robyn_server.cli.options import DataDir, Output
from robyn_server.cli.process import run_process

from .operator_name import operator

if TYPE_CHECKING:
    from robyn_server.identity.api_keys import ApiKeyService, IssuedKey, KeyRequest
    from robyn_server.storage.api_keys import ApiKey

keys = typer.Typer(help="API keys for services and for agents that run elsewhere.", no_args_is_help=True)

_PAGE_SIZE = 1000
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LIFETIME = re.compile(r"(\d{1,7})([mhdw])")


class KindOfKey(StrEnum):
    SERVICE = "service"
    INSTANCE = "instance"


@keys.command("create")
def create(
    tenant: Annotated[list[UUID] | None, typer.Option(metavar="UUID", help="Organization; may be repeated.")] = None,
    name: Annotated[str, typer.Option(help="Name, shown in lists of keys.")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="Scope that the key is limited to; may be repeated. Unset: the rights of a member."),
    ] = None,
    agent: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AGENT_ID",
            help="Type of agent whose instances the key may write; may be repeated. Unset: any. It reads as its scopes say.",
        ),
    ] = None,
    assistant: Annotated[
        list[UUID] | None,
        typer.Option(metavar="UUID", help="Assistant that the key may run; may be repeated. Unset: any."),
    ] = None,
    expires: Annotated[str | None, typer.Option(help="Lifetime: 30d, 12h, 90m, 4w. Unset: no end.")] = None,
    identity: Annotated[str | None, typer.Option(help="Identity that the key acts as. Unset: key:<prefix>.")] = None,
    kind: Annotated[KindOfKey, typer.Option(help="User of the key.")] = KindOfKey.SERVICE,
    output: Annotated[
        Output, typer.Option("--output", "-o", help="Output format: the key alone, or all fields.")
    ] = Output.TABLE,
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """Create a key. Only the key goes to standard output, once: it is stored nowhere."""
    from robyn_server.identity.api_keys import KeyRequest

    request = KeyRequest(
        frozenset(tenant or ()),
        name,
        tuple(scope) if scope else None,
        _lifetime(expires),
        identity,
        kind.value,
        tuple(agent) if agent else None,
        tuple(assistant) if assistant else None,
    )
    _print_secret(_run(data_dir, _creation(request)), output)


def _print_secret(made: IssuedKey, output: Output) -> None:
    sys.stderr.write(f"{_auth_mode_warning()}{_description(made.key)}\n")
    typer.echo(_created_json(made) if output is Output.JSON else made.text.text)


def _auth_mode_warning() -> str:
    """Return a warning if the environment says that keys are not used. The server may run with other settings."""
    from robyn_server.settings import AuthMode, load_settings

    if load_settings().auth_mode is not AuthMode.NONE:
        return ""
    return (
        "agenthall: warning: AUTH_MODE is none here, and a server with AUTH_MODE=none ignores API keys;"
        " start it with AUTH_MODE=keys (or jwt)\n"
    )


def _creation(request: KeyRequest) -> Any:
    return lambda service: service.create(operator(), request)


@keys.command("list")
def list_keys(
    tenant: Annotated[UUID | None, typer.Option(metavar="UUID", help="Keys of this organization only.")] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="Output format.")] = Output.TABLE,
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """List keys, newest first, without their secrets."""

    async def every(service: ApiKeyService) -> list[ApiKey]:
        found: list[ApiKey] = []
        while page := (await service.search(operator(), tenant, limit=_PAGE_SIZE, offset=len(found)))[0]:
            found += page
        return found

    found = _run(data_dir, every)
    typer.echo(_as_json(found) if output is Output.JSON else _as_table(found))


@keys.command("rotate")
def rotate(
    prefix: Annotated[str, typer.Argument(help="Prefix as `list` shows it, or the whole key.")],
    overlap: Annotated[
        str, typer.Option(help="Time in which the old secret stays valid: 30d, 12h, 90m, 4w; 0: none.")
    ] = "1d",
    output: Annotated[
        Output, typer.Option("--output", "-o", help="Output format: the key alone, or all fields.")
    ] = Output.TABLE,
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """Give a key a new secret. Only the key goes to standard output, once: it is stored nowhere."""
    seconds = timedelta(0) if overlap.strip() == "0" else _duration(overlap, "--overlap")
    _print_secret(_run(data_dir, lambda service: service.rotate(operator(), prefix, seconds)), output)


@keys.command("revoke")
def revoke(
    prefix: Annotated[str, typer.Argument(help="Prefix as `list` shows it, or the whole key.")],
    data_dir: DataDir = Path(".agenthall"),
) -> None:
    """Revoke a key. Running servers refuse it within seconds."""
    key = _run(data_dir, lambda service: service.revoke(operator(), prefix))
    typer.echo(f"revoked {key.prefix} at {key.revoked_at:%Y-%m-%d %H:%M:%S %Z}")


def _run(data_dir: Path, work: Any) -> Any:
    """Run `work` on the database. Raises Misconfigured, NotFound."""
    with wrong_usage(), database_setting(data_dir) as given:
        return run_process("operator.keys", work, **given)


def _lifetime(text: str | None) -> timedelta | None:
    return None if text is None else _duration(text, "--expires")


def _duration(text: str, option: str) -> timedelta:
    match = _LIFETIME.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter("a number and m, h, d or w, such as 30d", param_hint=option)
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _description(key: ApiKey) -> str:
    tenants = ", ".join(map(str, key.organizations)) or "no organization"
    scopes = "not limited" if key.scopes is None else ", ".join(key.scopes)
    bound = "" if key.agents is None else f"; writes agents {', '.join(key.agents)} only"
    if key.assistants is not None:
        bound += f"; runs assistants {', '.join(map(str, key.assistants))} only"
    if key.previous_until is not None:
        bound += f"; its old secret until {key.previous_until:%Y-%m-%d %H:%M %Z}"
    until = "without end" if key.expires_at is None else f"until {key.expires_at:%Y-%m-%d %H:%M %Z}"
    return f"key {key.prefix} ({key.kind} {key.identity}): {tenants}; {scopes}{bound}; {until}. It is shown this once:"


def _created_json(made: IssuedKey) -> str:
    """Return the JSON of the response to POST /keys."""
    import orjson

    from robyn_server.web.schemas.keys import rendered

    return orjson.dumps({"key": made.text.text, **rendered(made.key)}, option=orjson.OPT_INDENT_2).decode()


def _as_json(found: list[ApiKey]) -> str:
    import orjson

    from robyn_server.web.schemas.keys import rendered

    return orjson.dumps([rendered(key) for key in found], option=orjson.OPT_INDENT_2).decode()


def _as_table(found: list[ApiKey]) -> str:
    """Return plain columns, for people and for programs such as `cut`."""
    if not found:
        return "there are no keys"
    head = (
        "PREFIX",
        "STATUS",
        "KIND",
        "IDENTITY",
        "TENANTS",
        "SCOPES",
        "AGENTS",
        "ASSISTANTS",
        "EXPIRES",
        "OLD SECRET",
        "LAST USED",
        "NAME",
    )
    rows = [head, *(_cells(key) for key in found)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _cells(key: ApiKey) -> tuple[str, ...]:
    return (
        key.prefix,
        key.status,
        key.kind,
        key.identity,
        ",".join(map(str, key.organizations)) or "–",
        "–" if key.scopes is None else ",".join(key.scopes),
        "–" if key.agents is None else ",".join(key.agents),
        "–" if key.assistants is None else ",".join(map(str, key.assistants)),
        f"{key.expires_at:%Y-%m-%d}" if key.expires_at else "–",
        f"{key.previous_until:%Y-%m-%dT%H:%M}" if key.previous_until else "–",
        f"{key.last_used_at:%Y-%m-%dT%H:%M}" if key.last_used_at else "–",
        key.name,
    )
