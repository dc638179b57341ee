"""`agenthall new` and `agenthall dev`: LangGraph projects on the developer's machine."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from .options import DataDir, Format, Host, LogFormat, Port

_DRAIN_SECONDS = "1"
"""Of a worker that is replaced. Its runs go on with the new code."""


def new(folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to create.")]) -> None:
    """Write a small LangGraph project that runs at once."""
    from robyn_server.projects.new import create_project

    for path in create_project(folder):
        typer.echo(f"wrote {path}")
    typer.echo(f"\ncd {shlex.quote(str(folder))} && agenthall dev")


def dev(
    port: Port = 2024,
    host: Host = "127.0.0.1",
    data_dir: DataDir = Path(".agenthall"),
    log_format: Format = LogFormat.AUTO,
    config: Annotated[
        Path | None, typer.Option("--config", help="The langgraph.json of a project. Unset: the one in this folder.")
    ] = None,
) -> None:
    """Serve a project, and load it again when one of its files changes."""
    from robyn_server.core.errors import Misconfigured
    from robyn_server.projects import FILE_NAME, GRAPHS, find_project, load_project, project_environment, watched_paths
    from robyn_server.supervisor.serve_options import Reloading, ServeOptions

    from .serving import run_serve

    file = config or find_project(Path.cwd())
    if file is None:
        raise Misconfigured(
            f"there is no {FILE_NAME} in this folder; name one with --config, or write one: agenthall new"
        )
    if os.environ.get(GRAPHS):
        raise Misconfigured(f"{GRAPHS} is set, and {file} names graphs, too; unset it", field=GRAPHS)
    default, given = {"AGENTHALL_DRAIN_SECONDS": _DRAIN_SECONDS}, dict(os.environ)
    reloading = Reloading(
        environment=lambda: default | given | project_environment(load_project(file), given),
        watched=lambda: watched_paths(load_project(file)),
    )
    run_serve(
        ServeOptions(
            port=port,
            host=host,
            data_dir=data_dir,
            log_format=log_format.value,
            environment=reloading.environment(),
            reloading=reloading,
        )
    )
