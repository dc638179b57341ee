"""`agenthall agents manifests`: types of agents. Only administrators write them."""

from __future__ import annotations

from typing import Annotated

import typer

from robyn_server.cli.options import DATA_DIR, ApiKey, Out, Output, Tenant, Url, Where

from .options import AgentId, open_registry

manifests = typer.Typer(help="Manifests: types of agents.", no_args_is_help=True)

_PATH = "/agents/manifests"
_COLUMNS = ("agent_id", "name", "version", "published", "capabilities")


@manifests.command("list")
def list_manifests(
    output: Out = Output.TABLE,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = DATA_DIR,
) -> None:
    """List the manifests that you may see."""
    from .format import as_json, rows_table

    with open_registry(url, api_key, tenant, data_dir) as registry:
        found = list(registry.pages(_PATH, "manifests"))
    typer.echo(as_json(found) if output is Output.JSON else rows_table(found, _COLUMNS), nl=output is Output.JSON)


@manifests.command("show")
def show(
    agent_id: AgentId,
    output: Out = Output.TABLE,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = DATA_DIR,
) -> None:
    """Show one manifest."""
    from .format import as_json, one_table

    with open_registry(url, api_key, tenant, data_dir) as registry:
        found = registry.get_one(_PATH, agent_id)
    typer.echo(as_json(found) if output is Output.JSON else one_table(found), nl=output is Output.JSON)


@manifests.command("set")
def set_fields(
    agent_id: AgentId,
    name: Annotated[str | None, typer.Option(help="Display name.")] = None,
    agent_type: Annotated[str | None, typer.Option(help="Kind of agent, for people.")] = None,
    description: Annotated[str | None, typer.Option(help="Description.")] = None,
    version: Annotated[str | None, typer.Option(help="Version of the type.")] = None,
    capability: Annotated[list[str] | None, typer.Option(help="Replaces all; may be repeated.")] = None,
    published: Annotated[bool | None, typer.Option(help="Whether every organization sees it.")] = None,
    output: Out = Output.TABLE,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = DATA_DIR,
) -> None:
    """Change the given fields of a manifest, or create it. For administrators."""
    from .format import as_json, one_table

    text = {"name": name, "agent_type": agent_type, "description": description, "version": version}
    fields = {**text, "capabilities": capability or None, "published": published}
    with open_registry(url, api_key, tenant, data_dir) as registry:
        found = registry.set_fields(_PATH, agent_id, fields)
    typer.echo(as_json(found) if output is Output.JSON else one_table(found), nl=output is Output.JSON)


@manifests.command("delete")
def delete(
    agent_id: AgentId,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = DATA_DIR,
) -> None:
    """Delete a manifest that no organization has configured. For administrators."""
    with open_registry(url, api_key, tenant, data_dir) as registry:
        registry.delete(_PATH, agent_id)
    typer.echo(f"the manifest {agent_id} is deleted")
