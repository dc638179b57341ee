"""`agenthall agents brakes`: sets of instances that are not ended, because many of them lapsed at once."""

from __future__ import annotations

import typer

from robyn_server.cli.options import DATA_DIR, ApiKey, Out, Output, Tenant, Url, Where

from .options import AgentId, open_registry

brakes = typer.Typer(help="Brakes: they keep stale instances after many lapsed at once.", no_args_is_help=True)


@brakes.command("list")
def list_brakes(
    output: Out = Output.TABLE,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = DATA_DIR,
) -> None:
    """List the organization's brakes."""
    from .format import as_json, rows_table

    with open_registry(url, api_key, tenant, data_dir) as registry:
        found = list(registry.brakes())
    shown = as_json(found) if output is Output.JSON else rows_table(found, ("agent_id", "stale", "total", "since"))
    typer.echo(shown, nl=output is Output.JSON)


@brakes.command("release")
def release(
    agent_id: AgentId,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = DATA_DIR,
) -> None:
    """Release a brake. Its stale instances are ended; do it if you know that they are gone for good."""
    with open_registry(url, api_key, tenant, data_dir) as registry:
        registry.release_brake(agent_id)
    typer.echo(f"the brake on {agent_id} is released")
