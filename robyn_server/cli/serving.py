"""Run `serve`, and say who has its port."""

from __future__ import annotations

from typing import NoReturn

import typer

from robyn_server.core.errors import Misconfigured
from robyn_server.supervisor.serve import serve
from robyn_server.supervisor.serve_options import ServeOptions


def run_serve(options: ServeOptions) -> NoReturn:
    """Serve until a signal, and exit. Raises Misconfigured."""
    try:
        raise typer.Exit(serve(options))
    except Misconfigured as error:
        from robyn_server.doctor.port import describe_owner
        from robyn_server.ports import SETTING

        host, port = options.host, options.port
        if error.field == SETTING and (owner := describe_owner(host, port, options.data_dir)):
            raise Misconfigured(
                f"port {port} on {host} is {owner}; choose another with --port", field=SETTING
            ) from None
        raise
