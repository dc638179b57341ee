"""The composition roots: settings → storage → services → web, sockets or worker. The only room that knows all the others.

Each command has a file with its body, `run_…`. A name is imported when it is asked for: a process pays for its own body alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agent_sync import parse_scope, parse_source, parse_sources, sync_options
    from .check import run_check
    from .database import prepare_database
    from .keys import run_keys
    from .leasehold import event_retention
    from .migrate import run_migrate
    from .sockets import SocketsApplication, run_sockets
    from .sweep import run_sweep
    from .sync import run_sync
    from .web import WebApplication, run_web
    from .worker import run_worker

_HOMES = {
    "SocketsApplication": "sockets",
    "WebApplication": "web",
    "event_retention": "leasehold",
    "parse_scope": "agent_sync",
    "parse_source": "agent_sync",
    "parse_sources": "agent_sync",
    "prepare_database": "database",
    "run_check": "check",
    "run_keys": "keys",
    "run_migrate": "migrate",
    "run_sockets": "sockets",
    "run_sweep": "sweep",
    "run_sync": "sync",
    "run_web": "web",
    "run_worker": "worker",
    "sync_options": "agent_sync",
}

__all__ = [
    "SocketsApplication",
    "WebApplication",
    "event_retention",
    "parse_scope",
    "parse_source",
    "parse_sources",
    "prepare_database",
    "run_check",
    "run_keys",
    "run_migrate",
    "run_sockets",
    "run_sweep",
    "run_sync",
    "run_web",
    "run_worker",
    "sync_options",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
