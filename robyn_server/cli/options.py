"""Options that several commands have."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


def _use_project(file: Path | None) -> Path | None:
    from robyn_server.projects import apply_project, use_project

    if file is None:
        apply_project(os.environ, Path.cwd())
    else:
        use_project(file, os.environ)
    return file


Config = Annotated[
    Path | None,
    # eager, so that the project's variables are there when other options look for theirs
    typer.Option(
        "--config",
        callback=_use_project,
        is_eager=True,
        help="The langgraph.json of a project. Unset: the one in this folder, if there is one and AGENTHALL_GRAPHS is unset.",
    ),
]
DataDir = Annotated[Path, typer.Option(envvar="AGENTHALL_DATA_DIR", help="Directory of the embedded database.")]


class LogFormat(StrEnum):
    """As in `settings`, which is not imported here."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


Port = Annotated[int, typer.Option(envvar="AGENTHALL_PORT", min=0, max=65535, help="Port; 0 picks a free one.")]
Host = Annotated[str, typer.Option(envvar="AGENTHALL_HOST", help="Address to listen on.")]
Format = Annotated[LogFormat, typer.Option(envvar="AGENTHALL_LOG_FORMAT", help="How to write logs.")]


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


Out = Annotated[Output, typer.Option("--output", "-o", help="Output format.")]

# Which server a command asks, and as whom. `http/address.py` finds the address.
Url = Annotated[
    str | None,
    typer.Option(
        envvar="AGENTHALL_URL",
        help="The server's HTTP address. Unset: the `serve` that runs with --data-dir, else AGENTHALL_HOST and AGENTHALL_PORT.",
    ),
]
Where = Annotated[
    Path, typer.Option("--data-dir", envvar="AGENTHALL_DATA_DIR", help="Data directory of the running `serve`.")
]
ApiKey = Annotated[str | None, typer.Option(envvar="AGENTHALL_API_KEY", help="API key, if the server asks for one.")]
Tenant = Annotated[
    str | None,
    typer.Option(envvar="AGENTHALL_TENANT", metavar="UUID", help="Organization, for credentials of several."),
]
DATA_DIR = Path(".agenthall")
