"""Options of `serve`, and numbers in its environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from robyn_server.core.errors import Misconfigured

COMMAND = (sys.executable, "-m", "robyn_server")


@dataclass(frozen=True, slots=True)
class Reloading:
    """`environment` reads the project again: raises Misconfigured. `watched`: its files and folders."""

    environment: Callable[[], Mapping[str, str]]
    watched: Callable[[], Sequence[Path]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """`command` with a name runs that child; with `check` it validates the settings and exits with 2 if they are wrong.

    `demo` is the demo's directory. With `reloading`, the processes that run graphs start again when a watched file
    changes.
    """

    host: str = "127.0.0.1"
    port: int = 2024
    data_dir: Path = Path(".agenthall")
    log_format: str = "auto"
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    command: tuple[str, ...] = COMMAND
    demo: Path | None = None
    reloading: Reloading | None = None


def read_number(environment: Mapping[str, str], name: str, default: float) -> float:
    """Return a number from the environment. The children check its limits."""
    try:
        return float(environment.get(name) or default)
    except ValueError:
        raise Misconfigured(f"{name}: {environment[name]!r} is not a number", field=name) from None


def read_count(environment: Mapping[str, str], name: str) -> int:
    number = read_number(environment, name, 1)
    if number < 1 or not number.is_integer():
        raise Misconfigured(f"{name}: {environment[name]!r} is not a number of processes", field=name)
    return int(number)
