"""A command that works on one job, in a process group of its own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

KILL_AFTER_SECONDS = 5.0
"""Between SIGTERM and SIGKILL."""

_MAX_WAITING = 64
"""Tokens that wait to be sent. Afterwards the command waits when it writes."""

_MAX_LINE = 64 * 1024
"""Characters of one token. A longer line becomes several."""

_ERROR_LINES = 20


class RunningCommand:
    def __init__(self, command: str, job: Mapping[str, Any]) -> None:
        self._tokens: queue.Queue[str | None] = queue.Queue(_MAX_WAITING)
        self._errors: deque[str] = deque(maxlen=_ERROR_LINES)
        self._killer: threading.Timer | None = None
        self._process = subprocess.Popen(  # noqa: S602 - the operator wrote the command
            command,
            shell=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            env={**os.environ, "AGENTHALL_JOB_ID": str(job["job_id"]), "AGENTHALL_ATTEMPT": str(job["attempt"])},
        )
        self._text = json.dumps(dict(job), ensure_ascii=False)
        self._is_over = False
        self._threads = [
            threading.Thread(target=work, name="agenthall.command", daemon=True)
            for work in (self._write, self._read_tokens, self._read_errors, self._reap)
        ]
        for thread in self._threads:
            thread.start()

    def _write(self) -> None:
        with contextlib.suppress(OSError), self._process.stdin as stdin:  # type: ignore[union-attr]
            stdin.write(self._text)

    def _read_tokens(self) -> None:
        """Put each line, with the end of the line before it: so the answer does not end with a line feed."""
        end_of_line = ""
        while line := self._process.stdout.readline(_MAX_LINE):  # type: ignore[union-attr]
            text = line.removesuffix("\n")
            self._tokens.put((end_of_line + text).replace("\0", "\ufffd"))
            end_of_line = line[len(text) :]
        self._tokens.put(None)

    def _read_errors(self) -> None:
        for line in self._process.stderr:  # type: ignore[union-attr]
            self._errors.append(line)
            sys.stderr.write(line)

    def _reap(self) -> None:
        """Leave nothing of the group behind: a process in the background would keep the output open."""
        self._process.wait()
        self._signal(signal.SIGKILL)
        self._is_over = True

    def next_token(self, seconds: float) -> str | None:
        """Return the next token; None after the last one. Raises queue.Empty when there is none in this time."""
        return self._tokens.get(timeout=max(seconds, 0.001))

    def terminate(self) -> None:
        """Send SIGTERM to the process group, and SIGKILL later."""
        self._signal(signal.SIGTERM)
        if self._killer is None:
            self._killer = threading.Timer(KILL_AFTER_SECONDS, self._signal, [signal.SIGKILL])
            self._killer.daemon = True
            self._killer.start()

    def _signal(self, number: int) -> None:
        if not self._is_over:  # afterwards, another group may have the number
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def wait(self) -> int:
        """Wait for the end, and return the exit status; negative: the signal."""
        for thread in self._threads:
            thread.join()
        if self._killer is not None:
            self._killer.cancel()
        return self._process.wait()

    @property
    def error_text(self) -> str:
        """The last lines of standard error."""
        return "".join(self._errors).strip()
