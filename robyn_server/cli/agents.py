"""`agenthall agents`: who is registered with a running server, over its HTTP API.

terminal 1: agenthall agents watch
terminal 2: agenthall agents register my-bot --capability summarise
terminal 3: agenthall agents drain <registration or instance id>
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Output

if TYPE_CHECKING:
    from .agents_http import Registry

agents = typer.Typer(help="Registered agents: instances that run elsewhere.", no_args_is_help=True)


class Status(StrEnum):
    """As in the core, which is not imported here."""

    ACTIVE = "active"
    DRAINING = "draining"
    INACTIVE = "inactive"


Url = Annotated[
    str | None,
    typer.Option(
        envvar="AGENTHALL_URL",
        help="The server's HTTP address. Unset: the `serve` of --data-dir, else AGENTHALL_HOST and AGENTHALL_PORT.",
    ),
]
Where = Annotated[
    Path, typer.Option("--data-dir", envvar="AGENTHALL_DATA_DIR", help="Data directory of the `serve` that is meant.")
]
ApiKey = Annotated[str | None, typer.Option(envvar="AGENTHALL_API_KEY", help="Where the server asks for one.")]
Tenant = Annotated[
    str | None, typer.Option(envvar="AGENTHALL_TENANT", metavar="UUID", help="Organization, for who has several.")
]
Out = Annotated[Output, typer.Option("--output", "-o", help="How to write it.")]
Which = Annotated[
    str,
    typer.Argument(metavar="ID", help="A registration's id or a beginning of it that is unique, or an instance's id."),
]
Capabilities = Annotated[list[str] | None, typer.Option("--capability", help="All of them; may be repeated.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="All of them; may be repeated.")]
Zone = Annotated[str | None, typer.Option(help="Where it runs.")]
Agent = Annotated[str | None, typer.Option("--agent", metavar="AGENT_ID", help="Instances of this type of agent.")]

_DATA_DIR = Path(".agenthall")


@agents.command("list")
def list_instances(
    agent: Agent = None,
    capability: Capabilities = None,
    tag: Tags = None,
    zone: Zone = None,
    health: Annotated[str | None, typer.Option(help="starting, healthy, degraded, unhealthy or stale.")] = None,
    status: Annotated[Status | None, typer.Option(help="Unset: those that can be given work.")] = None,
    version: Annotated[str | None, typer.Option(metavar="RANGE", help="Such as '>=1.2,<2'.")] = None,
    free_slots: Annotated[int | None, typer.Option(min=0, help="With at least so many.")] = None,
    output: Out = Output.TABLE,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = _DATA_DIR,
) -> None:
    """Show the instances that fit: alive and taking work, unless --status or --health says otherwise."""
    from .agents_shown import as_json, instances_table

    wanted = {"agent_id": agent, "capability": capability, "tag": tag, "zone": zone, "health": health}
    more = {"status": status and status.value, "version": version, "free_slots": free_slots}
    with _registry(url, api_key, tenant, data_dir) as registry:
        found = list(registry.search({**wanted, **more}))
    typer.echo(as_json(found) if output is Output.JSON else instances_table(found), nl=output is Output.JSON)


@agents.command("describe")
def describe(
    which: Which,
    output: Out = Output.TABLE,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = _DATA_DIR,
) -> None:
    """Show all that is known of an instance."""
    from .agents_shown import as_json, one_table

    with _registry(url, api_key, tenant, data_dir) as registry:
        found = registry.find(which)
    typer.echo(as_json(found) if output is Output.JSON else one_table(found), nl=output is Output.JSON)


@agents.command("drain")
def drain(
    which: Which,
    reason: Annotated[str, typer.Option(help="For those who ask why.")] = "drained by an operator",
    output: Out = Output.TABLE,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = _DATA_DIR,
) -> None:
    """Give an instance nothing new; it finishes what it has. A registration of later takes work again."""
    from .agents_shown import as_json

    with _registry(url, api_key, tenant, data_dir) as registry:
        drained = registry.drain(registry.find(which), reason)
    said = f"{drained['agent_id']} {drained['instance_id']} is {drained['registration_status']}"
    typer.echo(as_json(drained) if output is Output.JSON else said)


@agents.command("watch")
def watch(
    agent: Agent = None,
    capability: Capabilities = None,
    tag: Tags = None,
    zone: Zone = None,
    output: Out = Output.TABLE,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = _DATA_DIR,
) -> None:
    """Show what is there, and then what happens, until Ctrl-C. JSON: one object per line."""
    from .agents_shown import as_line, event_head, event_line
    from .agents_watch import follow

    show = as_line if output is Output.JSON else event_line
    wanted = {"agent_id": agent, "capability": capability, "tag": tag, "zone": zone}

    def begun() -> None:
        if output is Output.TABLE:
            typer.echo(event_head())

    with _registry(url, api_key, tenant, data_dir) as registry, _until_interrupted():
        for event in follow(registry, wanted, _remark, begun):
            typer.echo(show(event))


@agents.command("register")
def register(
    agent_id: Annotated[str, typer.Argument(metavar="AGENT_ID", help="The type of agent, such as ide-agent.")],
    instance_id: Annotated[str | None, typer.Option(help="Unset: host and process.")] = None,
    name: Annotated[str | None, typer.Option(help="For people.")] = None,
    capability: Capabilities = None,
    tag: Tags = None,
    zone: Zone = None,
    version: Annotated[str | None, typer.Option(help="Its version.")] = None,
    output: Out = Output.TABLE,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = _DATA_DIR,
) -> None:
    """Register an instance and keep it alive until Ctrl-C or until it is drained: to try the registry from two terminals."""
    from .agents_register import Kept, default_instance_id
    from .agents_shown import as_line, instance_line

    said = {"agent_id": agent_id, "instance_id": instance_id or default_instance_id(), "name": name, "zone": zone}
    more = {"capabilities": capability, "tags": tag, "version": version}
    show = as_line if output is Output.JSON else instance_line
    with _registry(url, api_key, tenant, data_dir) as registry:
        kept = Kept(registry, {**said, **more}, lambda instance: typer.echo(show(instance)), _remark)
        with _until_interrupted(), kept.registered():
            kept.live()


def _registry(url: str | None, api_key: str | None, tenant: str | None, data_dir: Path) -> Registry:
    from .agents_http import Registry
    from .server_address import server_address

    return Registry(server_address(url, data_dir), api_key, tenant)


def _remark(text: str) -> None:
    """For people, beside what is read by programs."""
    typer.echo(f"agenthall: {text}", err=True)


@contextmanager
def _until_interrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM are how these commands end, and so is a reader that has gone (`| head`): no errors."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer has no reader
    finally:
        signal.signal(signal.SIGTERM, before)
