"""`agenthall agents configurations`: an organization's settings for types of agents."""

from __future__ import annotations

from typing import Annotated

import typer

from robyn_server.cli.options import DATA_DIR, ApiKey, Out, Output, Tenant, Url, Where

from .options import AgentId, open_registry

configurations = typer.Typer(help="Configurations: settings for types of agents.", no_args_is_help=True)

_PATH = "/agents/configurations"
_COLUMNS = ("agent_id", "name", "enabled", "model_id", "max_workload")


@configurations.command("list")
def list_configurations(
    output: Out = Output.TABLE,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = DATA_DIR,
) -> None:
    """List the organization's configurations."""
    from .format import as_json, rows_table

    with open_registry(url, api_key, tenant, data_dir) as registry:
        found = list(registry.pages(_PATH, "configurations"))
    typer.echo(as_json(found) if output is Output.JSON else rows_table(found, _COLUMNS), nl=output is Output.JSON)


@configurations.command("show")
def show(
    agent_id: AgentId,
    output: Out = Output.TABLE,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = DATA_DIR,
) -> None:
    """Show one configuration."""
    from .format import as_json, one_table

    with open_registry(url, api_key, tenant, data_dir) as registry:
        found = registry.get_one(_PATH, agent_id)
    typer.echo(as_json(found) if output is Output.JSON else one_table(found), nl=output is Output.JSON)


@configurations.command("set")
def set_fields(
    agent_id: AgentId,
    name: Annotated[str | None, typer.Option(help="Display name.")] = None,
    agent_type: Annotated[str | None, typer.Option(help="Kind of agent, for people.")] = None,
    model_id: Annotated[str | None, typer.Option(metavar="MODEL", help="Model, such as openai:gpt-4o.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=2, help="Temperature of the model.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of one answer.")] = None,
    system_prompt: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    max_workload: Annotated[int | None, typer.Option(min=0, help="Work that one instance takes at a time.")] = None,
    capability: Annotated[list[str] | None, typer.Option(help="Replaces all; may be repeated.")] = None,
    configuration: Annotated[str | None, typer.Option(metavar="JSON", help="A JSON object of your own.")] = None,
    enabled: Annotated[bool | None, typer.Option(help="Whether instances may register.")] = None,
    output: Out = Output.TABLE,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = DATA_DIR,
) -> None:
    """Change the given fields of a configuration, or create it. `--no-enabled` refuses further registrations."""
    from .format import as_json, one_table

    text = {"name": name, "agent_type": agent_type, "model_id": model_id, "system_prompt": system_prompt}
    numbers = {"temperature": temperature, "max_tokens": max_tokens, "max_workload": max_workload}
    more = {"capabilities": capability or None, "configuration": _object(configuration), "enabled": enabled}
    with open_registry(url, api_key, tenant, data_dir) as registry:
        found = registry.set_fields(_PATH, agent_id, {**text, **numbers, **more})
    typer.echo(as_json(found) if output is Output.JSON else one_table(found), nl=output is Output.JSON)


@configurations.command("delete")
def delete(
    agent_id: AgentId,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = DATA_DIR,
) -> None:
    """Delete a configuration and its instances."""
    with open_registry(url, api_key, tenant, data_dir) as registry:
        registry.delete(_PATH, agent_id)
    typer.echo(f"the configuration of {agent_id} is deleted")


def _object(text: str | None) -> dict[str, object] | None:
    """Raises Misconfigured for anything but a JSON object."""
    if text is None:
        return None
    import orjson

    from robyn_server.core.errors import Misconfigured

    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Misconfigured(f"--configuration: {error}") from None
    if not isinstance(value, dict):
        raise Misconfigured("--configuration: must be a JSON object")
    return value
