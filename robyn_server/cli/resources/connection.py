"""The connection of these commands to a running server."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from robyn_server.cli.http.api import ApiClient

Limit = Annotated[int, typer.Option(min=1, help="Largest number of rows.")]


def connect(url: str | None, api_key: str | None, tenant: str | None, data_dir: Path) -> ApiClient:
    from robyn_server.cli.http.address import server_address
    from robyn_server.cli.http.api import ApiClient

    return ApiClient(server_address(url, data_dir), api_key, tenant)


def agent_names(api: ApiClient, ids: Iterable[str | None]) -> Mapping[str | None, str]:
    """Return the names of assistants by id. One that is out of service has its id as its name."""
    from robyn_server.core.errors import NotFound

    names: dict[str | None, str] = {None: ""}
    for assistant_id in ids:
        if assistant_id not in names:
            try:
                names[assistant_id] = str(api.find_assistant(str(assistant_id))["name"])
            except NotFound:
                names[assistant_id] = str(assistant_id)
    return names


def note(text: str) -> None:
    """Write to standard error. Standard output is for programs."""
    sys.stderr.write(f"agenthall: {text}\n")
