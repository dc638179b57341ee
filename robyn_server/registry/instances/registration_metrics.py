"""Count registrations by their result.

Rules
  1. A successful one is counted where it is made: in the service, and in the Python API.
  2. A refused or failed one is counted at the outermost place that knows it was a registration: the HTTP edge by its
     status, a socket's message, the Python API. Credentials, scopes and parameters are refused before the service is
     called.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from robyn_server.core.errors import AgenthallError, Misconfigured, Unavailable
from robyn_server.core.registry.instances import Registration
from robyn_server.metrics.definitions import RECONNECTIONS, REGISTRATIONS

# RFC 9110, sections 15.5 and 15.6
_CLIENT_ERROR, _SERVER_ERROR = 400, 500


def count_registration(registration: Registration) -> None:
    REGISTRATIONS.inc("registered" if registration.is_new else "reconnected")
    if not registration.is_new:
        RECONNECTIONS.inc()


def count_status(status: int) -> None:
    """Count a refused or failed registration by the status of its response. Successful ones are counted already."""
    if status >= _SERVER_ERROR:
        REGISTRATIONS.inc("failed")
    elif status >= _CLIENT_ERROR:
        REGISTRATIONS.inc("refused")


@contextmanager
def count_failures(*refusals: type[Exception]) -> Iterator[None]:
    """Count an exception of the block as refused or failed.

    `refusals`: what counts as refused besides AgenthallError.
    """
    try:
        yield
    except Exception as error:
        REGISTRATIONS.inc(_result(error, refusals))
        raise


def _result(error: Exception, refusals: tuple[type[Exception], ...]) -> str:
    if isinstance(error, (Unavailable, Misconfigured)):
        return "failed"
    return "refused" if isinstance(error, (AgenthallError, *refusals)) else "failed"
