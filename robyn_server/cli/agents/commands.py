"""`agenthall agents`: instances that are registered with a running server, over its HTTP API.

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
from typing import TYPE_CHECKING, Annotated

import typer

from robyn_server.cli.options import Out, Output
from robyn_server.cli.server_command import server_command

from .brakes import brakes
from .configurations import configurations
from .manifests import manifests
from .options import open_registry

if TYPE_CHECKING:
    from .registry_http import RegistryClient

agents = typer.Typer(help="Registered agents: instances that run elsewhere.", no_args_is_help=True)
agents.add_typer(manifests, name="manifests")
agents.add_typer(configurations, name="configurations")
agents.add_typer(brakes, name="brakes")


class Status(StrEnum):
    """As in `core`, which is not imported here."""

    ACTIVE = "active"
    DRAINING = "draining"
    INACTIVE = "inactive"


Which = Annotated[
    str,
    typer.Argument(metavar="ID", help="A registration's id, a unique beginning of it, or an instance's id."),
]
Capabilities = Annotated[list[str] | None, typer.Option("--capability", help="All of them; may be repeated.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="All of them; may be repeated.")]
Zone = Annotated[str | None, typer.Option(help="Zone of the instance.")]
Agent = Annotated[str | None, typer.Option("--agent", metavar="AGENT_ID", help="Instances of this type of agent.")]


@server_command(agents, "list", open_registry)
def list_instances(
    registry: RegistryClient,
    agent: Agent = None,
    capability: Capabilities = None,
    tag: Tags = None,
    zone: Zone = None,
    health: Annotated[str | None, typer.Option(help="Health: starting, healthy, degraded, unhealthy or stale.")] = None,
    status: Annotated[Status | None, typer.Option(help="Status. Unset: instances that can be given work.")] = None,
    version: Annotated[str | None, typer.Option(metavar="RANGE", help="Version range, such as '>=1.2,<2'.")] = None,
    free_slots: Annotated[int | None, typer.Option(min=0, help="Smallest number of free slots.")] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Shorten nothing, whatever the width of the terminal.")] = False,
    output: Out = Output.TABLE,
) -> None:
    """List matching instances: living ones that take work, unless --status or --health says otherwise."""
    from .format import as_json, instances_table, print_shown

    filters = {
        "agent_id": agent,
        "capabilities": capability or None,
        "tags": tag or None,
        "zone": zone,
        "health": health,
    }
    more = {"status": status and status.value, "version": version, "free_slots": free_slots}
    found = list(registry.search({**filters, **more}))
    print_shown(as_json(found) if output is Output.JSON else instances_table(found, wide=wide), output)


@server_command(agents, "describe", open_registry)
def describe(
    registry: RegistryClient,
    which: Which,
    output: Out = Output.TABLE,
) -> None:
    """Show everything about one instance, with its history."""
    from .format import print_described

    found = registry.find(which)
    print_described(found, registry.history(found["registration_id"]), output)


@server_command(agents, "drain", open_registry)
def drain(
    registry: RegistryClient,
    which: Which,
    reason: Annotated[str, typer.Option(help="Reason, shown with the instance.")] = "drained by an operator",
    output: Out = Output.TABLE,
) -> None:
    """Drain an instance: it finishes its work and gets no new work. A later registration takes work again."""
    from .format import as_json

    drained = registry.drain(registry.find(which), reason)
    fields = f"{drained['agent_id']} {drained['instance_id']} is {drained['registration_status']}"
    typer.echo(as_json(drained) if output is Output.JSON else fields)


@server_command(agents, "cordon", open_registry)
def cordon(
    registry: RegistryClient,
    which: Which,
    reason: Annotated[str, typer.Option(help="Reason, shown with the instance.")] = "cordoned by an operator",
    output: Out = Output.TABLE,
) -> None:
    """Keep an instance from work until `uncordon`, through all its further registrations. It stays registered."""
    from .format import as_json

    cordoned = registry.cordon(registry.find(which)["registration_id"], reason)
    fields = f"{cordoned['agent_id']} {cordoned['instance_id']} is cordoned since {cordoned['cordoned_at']}"
    typer.echo(as_json(cordoned) if output is Output.JSON else fields)


@server_command(agents, "uncordon", open_registry)
def uncordon(
    registry: RegistryClient,
    which: Which,
    output: Out = Output.TABLE,
) -> None:
    """Lift the cordon of an instance."""
    from .format import as_json

    found = registry.uncordon(registry.find(which)["registration_id"])
    fields = f"{found['agent_id']} {found['instance_id']} is not cordoned"
    typer.echo(as_json(found) if output is Output.JSON else fields)


@server_command(agents, "deregister", open_registry)
def deregister(
    registry: RegistryClient,
    which: Which,
    reason: Annotated[str, typer.Option(help="Reason, shown with the instance.")] = "deregistered by an operator",
) -> None:
    """End the registration of an instance. Its process may register again."""
    found = registry.find(which)
    registry.deregister(found["registration_id"], found["epoch"], reason)
    typer.echo(f"{found['agent_id']} {found['instance_id']} is inactive")


@server_command(agents, "watch", open_registry)
def watch(
    registry: RegistryClient,
    agent: Agent = None,
    capability: Capabilities = None,
    tag: Tags = None,
    zone: Zone = None,
    output: Out = Output.TABLE,
) -> None:
    """List instances, then show each change, until Ctrl-C. JSON: one object per line."""
    from .format import as_line, event_head, event_line
    from .watch import follow

    show = as_line if output is Output.JSON else event_line
    filters = {"agent_id": agent, "capabilities": capability or None, "tags": tag or None, "zone": zone}

    def on_connected() -> None:
        if output is Output.TABLE:
            typer.echo(event_head())

    with until_interrupted():
        for event in follow(registry, filters, _warn, on_connected):
            typer.echo(show(event))


@server_command(agents, "register", open_registry)
def register(
    registry: RegistryClient,
    agent_id: Annotated[str, typer.Argument(metavar="AGENT_ID", help="The type of agent, such as ide-agent.")],
    instance_id: Annotated[str | None, typer.Option(help="Name of the process. Unset: host and process id.")] = None,
    name: Annotated[str | None, typer.Option(help="Display name.")] = None,
    capability: Capabilities = None,
    tag: Tags = None,
    zone: Zone = None,
    version: Annotated[str | None, typer.Option(help="Version of the instance.")] = None,
    command: Annotated[
        str | None,
        typer.Option(
            "--exec",
            metavar="COMMAND",
            help="Shell command that runs for each job: the job is JSON on its input, lines of its output are tokens.",
        ),
    ] = None,
    slots: Annotated[int | None, typer.Option(min=1, max=1000, help="Commands that run at a time. Unset: 1.")] = None,
    output: Out = Output.TABLE,
) -> None:
    """Register an instance, send its heartbeats and run its jobs, until Ctrl-C or until it is drained."""
    from .format import as_line, instance_line
    from .register import RegisteredInstance, default_instance_id

    if slots is not None and command is None:
        raise typer.BadParameter("needs --exec, the command that works on a job", param_hint="--slots")
    fields = {"agent_id": agent_id, "instance_id": instance_id or default_instance_id(), "name": name, "zone": zone}
    more = {"capabilities": capability or None, "tags": tag or None, "version": version}
    show = as_line if output is Output.JSON else instance_line
    instance = RegisteredInstance(
        registry, {**fields, **more}, lambda instance: typer.echo(show(instance)), _warn, command, slots or 1
    )
    with until_interrupted(), instance.registration():
        instance.keep_alive()


def _warn(text: str) -> None:
    """Write to standard error. Standard output is for programs."""
    typer.echo(f"agenthall: {text}", err=True)


@contextmanager
def until_interrupted() -> Iterator[None]:
    """End without an error after Ctrl-C, SIGTERM or when the reader of the output is gone (`| head`)."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the rest of the buffer has no reader
    finally:
        signal.signal(signal.SIGTERM, before)
