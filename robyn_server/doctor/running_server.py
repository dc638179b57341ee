"""Check of the settings of a running `agenthall serve` against those of this process."""

from __future__ import annotations

import os

from robyn_server.core.errors import Misconfigured
from robyn_server.supervisor.address_file import RunningServer


def describe_settings(server: RunningServer) -> str:
    """Describe the settings of the server.

    Raises Misconfigured if this process has others: the checks would not be about the server.
    """
    # `run_checks` has lent the server's settings to this process where it had none.
    other = {name: os.environ[name] for name, value in server.settings.items() if os.environ[name] != value}
    if other:
        differences = ", ".join(f"{name}={server.settings[name]} (here: {value})" for name, value in other.items())
        raise Misconfigured(f"the server at {server.url} (pid {server.pid}) runs with {differences}; restart it")
    shown = ", ".join(f"{name}={value}" for name, value in server.settings.items())
    return f"{server.url} (pid {server.pid})" + (f" runs with {shown}" if shown else " runs with the default settings")
