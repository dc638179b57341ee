"""`agenthall agents configurations`: an organization's settings for types of agents."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from robyn_server.cli.options import Out, Output
from robyn_server.cli.server_command import server_command

from .options import AgentId, json_object, open_registry

if TYPE_CHECKING:
    from .registry_http import RegistryClient

configurations = typer.Typer(help="Configurations: settings for types of agents.", no_args_is_help=True)

_PATH = "/agents/configurations"
_COLUMNS = ("agent_id", "name", "enabled", "effective_execution", "model_id", "max_workload")


class Execution(StrEnum):
    INSTANCES = "instances"
    HERE = "here"
    DEFAULT = "default"


@server_command(configurations, "list", open_registry)
def list_configurations(
    registry: RegistryClient,
    output: Out = Output.TABLE,
) -> None:
    """List the organization's configurations."""
    from .format import print_rows

    found = list(registry.pages(_PATH, "configurations"))
    print_rows(found, _COLUMNS, output)


@server_command(configurations, "show", open_registry)
def show(
    registry: RegistryClient,
    agent_id: AgentId,
    output: Out = Output.TABLE,
) -> None:
    """Show one configuration."""
    from .format import print_one

    found = registry.get_one(_PATH, agent_id)
    print_one(found, output)


@server_command(configurations, "set", open_registry)
def set_fields(
    registry: RegistryClient,
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
    enabled: Annotated[bool | None, typer.Option(help="Whether instances may register and are found.")] = None,
    execution: Annotated[
        Execution | None, typer.Option(help="Where it runs. Default: in instances, if it has no model and no prompt.")
    ] = None,
    jobs: Annotated[
        str | None, typer.Option(metavar="JSON", help='Options of jobs to change, such as {"retry": "always"}.')
    ] = None,
    output: Out = Output.TABLE,
) -> None:
    """Change the given fields of a configuration, or create it.

    With `--no-enabled`, instances neither register nor are found, and get no more jobs. They finish those that they
    have; `agenthall jobs cancel --agent` cancels them.
    """
    from .format import print_one
    from .registry_http import NULL

    text = {"name": name, "agent_type": agent_type, "model_id": model_id, "system_prompt": system_prompt}
    numbers = {"temperature": temperature, "max_tokens": max_tokens, "max_workload": max_workload}
    objects = {"configuration": json_object("--configuration", configuration), "jobs": json_object("--jobs", jobs)}
    where = NULL if execution is Execution.DEFAULT else execution
    more = {"capabilities": capability or None, "enabled": enabled, "execution": where}
    found = registry.set_fields(_PATH, agent_id, {**text, **numbers, **objects, **more})
    print_one(found, output)


@server_command(configurations, "delete", open_registry)
def delete(
    registry: RegistryClient,
    agent_id: AgentId,
) -> None:
    """Delete a configuration and its instances."""
    registry.delete(_PATH, agent_id)
    typer.echo(f"the configuration of {agent_id} is deleted")
