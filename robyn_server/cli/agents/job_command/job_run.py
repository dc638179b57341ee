"""One job: its command runs, its tokens are sent, and its end is reported."""

from __future__ import annotations

import queue
import time
from typing import Any

from .job_client import JobClient, Offer
from .running_command import RunningCommand

_COALESCE_SECONDS = 0.02
_MAX_TOKENS = 64
_MAX_CHARACTERS = 64 * 1024
"""Of the tokens of one message. The server takes 256 KiB."""

_EXTEND_SECONDS = 1.0
"""Between questions whether the job is to stop."""

_MAX_MESSAGE = 8192


class JobRun:
    def __init__(self, client: JobClient, job: Offer, command: str) -> None:
        self.job = job
        self._client = client
        self._command = RunningCommand(command, job)
        self._through_seq = 0
        self._is_cancelled = False
        self._extend_at = 0.0

    @property
    def reference(self) -> dict[str, Any]:
        return {"job_id": self.job["job_id"], "attempt": self.job["attempt"]}

    def cancel(self) -> None:
        """Stop the command, and report that the job was cancelled."""
        self._is_cancelled = True
        self._command.terminate()

    def abandon(self) -> None:
        """Stop the command, and wait for its end."""
        self._command.terminate()
        self._command.wait()

    def run(self) -> str:
        """Return how it ended, for people. Raises AgenthallError if the job was lost, and Stopped."""
        try:
            while (tokens := self._next_tokens()) is not None:
                self._report(tokens)
            status = self._command.wait()
            self._client.finish(self.job, self._through_seq, self._end(status))
        except BaseException:
            self.abandon()
            raise
        return "cancelled" if self._is_cancelled else _describe(status)

    def _report(self, tokens: list[str]) -> None:
        if tokens:
            self._client.append_tokens(self.job, self._through_seq + 1, tokens)
            self._through_seq += len(tokens)
        if time.monotonic() >= self._extend_at:
            if self._client.is_cancelled(self.job) and not self._is_cancelled:
                self.cancel()
            self._extend_at = time.monotonic() + _EXTEND_SECONDS

    def _next_tokens(self) -> list[str] | None:
        """Return tokens that came together, none after a second, or None after the last one."""
        tokens: list[str] = []
        until = time.monotonic() + _EXTEND_SECONDS
        while len(tokens) < _MAX_TOKENS and sum(map(len, tokens)) < _MAX_CHARACTERS:
            try:
                token = self._command.next_token(until - time.monotonic())
            except queue.Empty:
                return tokens
            if token is None:
                return self._last(tokens)
            if not tokens:
                until = time.monotonic() + _COALESCE_SECONDS
            tokens.append(token)
        return tokens

    def _last(self, tokens: list[str]) -> list[str] | None:
        if tokens:
            self._report(tokens)
        return None

    def _end(self, status: int) -> dict[str, Any]:
        if self._is_cancelled:
            return {"cancelled": True}
        if status == 0:
            return {"result": None}
        text = self._command.error_text[-_MAX_MESSAGE:] or _describe(status)
        return {"error": {"error": "command_failed", "message": text}}


def _describe(status: int) -> str:
    if status < 0:
        return f"killed by signal {-status}"
    return "succeeded" if status == 0 else f"failed with exit status {status}"
