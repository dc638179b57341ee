"""Registrations, counted by what became of them.

Rules
  1. One that succeeds is counted where it is made: the service, and the Python face.
  2. One that is refused or fails is counted at the outermost place that knows what it was going to be: the edge by its answer, a
     socket's message, the Python face. Below it, credentials, scopes and what was said have refused already.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from robyn_server.core.errors import AgenthallError, Misconfigured, Unavailable
from robyn_server.core.registry import Registered
from robyn_server.metrics.definitions import RECONNECTIONS, REGISTRATIONS

_THEIRS, _OURS = 400, 500
"""RFC 9110, sections 15.5 and 15.6: from where on statuses are of errors of the client, and of the server."""


def count_registered(registered: Registered) -> None:
    """One that is known has reconnected, whatever became of it in between."""
    REGISTRATIONS.inc("registered" if registered.is_new else "reconnected")
    if not registered.is_new:
        RECONNECTIONS.inc()


def count_status(status: int) -> None:
    """By the answer to a request to register. What succeeded is counted already."""
    if status >= _OURS:
        REGISTRATIONS.inc("failed")
    elif status >= _THEIRS:
        REGISTRATIONS.inc("refused")


@contextmanager
def counting_refusals(*refusals: type[Exception]) -> Iterator[None]:
    """What leaves the block as an error was refused for what the caller did, or failed for what we could not do. `refusals`: what is the
    caller's doing besides our own errors."""
    try:
        yield
    except Exception as error:  # whatever it is, it is counted and goes on
        REGISTRATIONS.inc(_result(error, refusals))
        raise


def _result(error: Exception, refusals: tuple[type[Exception], ...]) -> str:
    if isinstance(error, (Unavailable, Misconfigured)):
        return "failed"
    return "refused" if isinstance(error, (AgenthallError, *refusals)) else "failed"
