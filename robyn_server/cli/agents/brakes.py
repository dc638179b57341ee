"""`agenthall agents brakes`: sets of instances that are not ended, because many of them lapsed at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from robyn_server.cli.options import Out, Output
from robyn_server.cli.server_command import server_command

from .options import AgentId, open_registry

if TYPE_CHECKING:
    from .registry_http import RegistryClient

brakes = typer.Typer(help="Brakes: they keep stale instances after many lapsed at once.", no_args_is_help=True)


@server_command(brakes, "list", open_registry)
def list_brakes(
    registry: RegistryClient,
    output: Out = Output.TABLE,
) -> None:
    """List the organization's brakes."""
    from .format import print_rows

    found = list(registry.brakes())
    print_rows(found, ("agent_id", "stale", "total", "since"), output)


@server_command(brakes, "release", open_registry)
def release(
    registry: RegistryClient,
    agent_id: AgentId,
) -> None:
    """Release a brake. Its stale instances are ended; do it if you know that they are gone for good."""
    registry.release_brake(agent_id)
    typer.echo(f"the brake on {agent_id} is released")
