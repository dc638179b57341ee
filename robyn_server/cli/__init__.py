"""The command line. Every command imports what it needs when it runs: `--help` and the supervisor stay quick and small.

Exit codes: 0 done, 1 something failed, 2 wrong usage or settings.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Any, NoReturn

from robyn_server.core.errors import AgenthallError, Misconfigured

_SERVING = ("web", "worker", "sockets")
_CHILDREN = (*_SERVING, "check")
"""`check` is for `serve` alone: it looks at the settings, and says what is wrong with them."""


def main() -> NoReturn:
    """The entry point. An error that is told to people is one line, without a trace."""
    arguments = sys.argv[1:]
    _leave_at_signals(arguments[0] if arguments else "")
    try:
        if len(arguments) == 1 and arguments[0] in _CHILDREN:
            run_process(arguments[0])  # as `serve` starts them: without the parser, which takes 60 ms to import
        else:
            _parse()
    except AgenthallError as error:
        sys.stderr.write(f"agenthall: {error}\n")
        sys.exit(2 if isinstance(error, Misconfigured) else 1)
    sys.exit(0)


def _leave_at_signals(command: str) -> None:
    """A server that is told to stop while it still imports has nothing to finish: it leaves with 0, as it does later.

    A process does so on the spot, for an import may swallow SystemExit; `serve` closes what it has opened.
    """
    if command not in (*_SERVING, "serve"):
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0) if command == "serve" else os._exit(0))


def _parse() -> None:
    from .commands import commands

    commands(prog_name="agenthall")


def run_process(name: str, *arguments: Any, **overrides: Any) -> Any:
    """The body of `web`, `worker`, `migrate`, `sync` and their like, and what it returns; `overrides` are settings by field name."""
    from robyn_server.settings import load_settings

    app = import_module("robyn_server.app")
    return getattr(app, f"run_{name}")(load_settings(**overrides), *arguments)
