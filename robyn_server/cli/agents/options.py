"""Options of the commands that call the registry of a running server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from .registry_http import RegistryClient

AgentId = Annotated[str, typer.Argument(metavar="AGENT_ID", help="The type of agent, such as ide-agent.")]


def open_registry(url: str | None, api_key: str | None, tenant: str | None, data_dir: Path) -> RegistryClient:
    from robyn_server.cli.http.address import server_address

    from .registry_http import RegistryClient

    return RegistryClient(server_address(url, data_dir), api_key, tenant)


def json_object(option: str, text: str | None) -> dict[str, object] | None:
    """Raises Misconfigured for anything but a JSON object."""
    if text is None:
        return None
    import orjson

    from robyn_server.core.errors import Misconfigured

    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Misconfigured(f"{option}: {error}") from None
    if not isinstance(value, dict):
        raise Misconfigured(f"{option}: must be a JSON object")
    return value
