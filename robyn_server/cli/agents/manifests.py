"""`agenthall agents manifests`: types of agents. Only administrators write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from robyn_server.cli.options import Out, Output
from robyn_server.cli.server_command import server_command

from .options import AgentId, json_object, open_registry

if TYPE_CHECKING:
    from .registry_http import RegistryClient

manifests = typer.Typer(help="Manifests: types of agents.", no_args_is_help=True)

_PATH = "/agents/manifests"
_COLUMNS = ("agent_id", "name", "version", "published", "capabilities")


@server_command(manifests, "list", open_registry)
def list_manifests(
    registry: RegistryClient,
    output: Out = Output.TABLE,
) -> None:
    """List the manifests that you may see."""
    from .format import print_rows

    found = list(registry.pages(_PATH, "manifests"))
    print_rows(found, _COLUMNS, output)


@server_command(manifests, "show", open_registry)
def show(
    registry: RegistryClient,
    agent_id: AgentId,
    output: Out = Output.TABLE,
) -> None:
    """Show one manifest."""
    from .format import print_one

    found = registry.get_one(_PATH, agent_id)
    print_one(found, output)


@server_command(manifests, "set", open_registry)
def set_fields(
    registry: RegistryClient,
    agent_id: AgentId,
    name: Annotated[str | None, typer.Option(help="Display name.")] = None,
    agent_type: Annotated[str | None, typer.Option(help="Kind of agent, for people.")] = None,
    description: Annotated[str | None, typer.Option(help="Description.")] = None,
    version: Annotated[str | None, typer.Option(help="Version of the type.")] = None,
    capability: Annotated[list[str] | None, typer.Option(help="Replaces all; may be repeated.")] = None,
    state_schema: Annotated[
        str | None, typer.Option(metavar="JSON", help="JSON Schema of the state's properties; null removes it.")
    ] = None,
    published: Annotated[bool | None, typer.Option(help="Whether every organization sees it.")] = None,
    output: Out = Output.TABLE,
) -> None:
    """Change the given fields of a manifest, or create it. For administrators."""
    from .format import print_one
    from .registry_http import NULL

    text = {"name": name, "agent_type": agent_type, "description": description, "version": version}
    schema = NULL if state_schema == "null" else json_object("--state-schema", state_schema)
    fields = {**text, "capabilities": capability or None, "state_schema": schema, "published": published}
    found = registry.set_fields(_PATH, agent_id, fields)
    print_one(found, output)


@server_command(manifests, "delete", open_registry)
def delete(
    registry: RegistryClient,
    agent_id: AgentId,
) -> None:
    """Delete a manifest that no organization has configured. For administrators."""
    registry.delete(_PATH, agent_id)
    typer.echo(f"the manifest {agent_id} is deleted")
