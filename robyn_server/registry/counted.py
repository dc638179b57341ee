"""Registrations, counted by what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from robyn_server.core.errors import AgenthallError, Unavailable
from robyn_server.core.registry import Registered
from robyn_server.metrics.definitions import RECONNECTIONS, REGISTRATIONS


def count_registered(registered: Registered) -> None:
    """One that is known has reconnected, whatever became of it in between."""
    REGISTRATIONS.inc("registered" if registered.is_new else "reconnected")
    if not registered.is_new:
        RECONNECTIONS.inc()


@contextmanager
def counting_refusals() -> Iterator[None]:
    """What leaves the block as an error was refused for what it said, or failed for what we could not do."""
    try:
        yield
    except Unavailable:
        REGISTRATIONS.inc("failed")
        raise
    except AgenthallError:
        REGISTRATIONS.inc("refused")
        raise
    except Exception:
        REGISTRATIONS.inc("failed")
        raise
