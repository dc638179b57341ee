"""The command line. A command imports its modules when it runs, so `--help` is fast and the supervisor small.

Exit codes: 0 done, 1 something failed, 2 wrong usage or settings.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import NoReturn

from robyn_server.core.errors import AgenthallError, Misconfigured

from .process import run_process

_PROCESSES = ("web", "worker", "sockets")
_CHILDREN = {name: name for name in _PROCESSES} | {"check": "preflight"}
"""Commands that `serve` runs, and their modules. `check` validates the settings."""


def main() -> NoReturn:
    """Run the command line. Errors of the server are one line, without a traceback."""
    arguments = sys.argv[1:]
    _exit_at_signals(arguments[0] if arguments else "")
    try:
        if len(arguments) == 1 and arguments[0] in _CHILDREN:
            # `serve` starts these. The parser, which takes 60 ms to import, is not needed for them.
            gc.disable()  # until it is tuned (app/process.py): what is imported is no garbage, and looking takes 80 ms
            run_process(_CHILDREN[arguments[0]])
        else:
            _parse()
    except AgenthallError as error:
        sys.stderr.write(f"agenthall: {error}\n")
        sys.exit(2 if isinstance(error, Misconfigured) else 1)
    sys.exit(0)


def _exit_at_signals(command: str) -> None:
    """Exit with 0 if a signal comes during the imports, when a server has nothing to finish.

    A process exits at once, because an import may swallow SystemExit. `serve` and `dev` close their resources.
    """
    supervises = command in ("serve", "dev")
    if command not in _PROCESSES and not supervises:
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0) if supervises else os._exit(0))


def _parse() -> None:
    from .commands import commands

    commands(prog_name="agenthall")
