"""The HTTP status of each error: one table for the HTTP API, the WebSocket handshake and the command line.

SDKs try a request again after a 5xx, for up to 20 s. So an error that a retry cannot mend is a 4xx. An operation that
is not offered is not 404, which some methods of the SDKs take for a thing that does not exist.
"""

from __future__ import annotations

from . import errors

STATUSES: dict[type[errors.AgenthallError], int] = {
    errors.BadRequest: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.Refused: 403,  # unless the handler chose another
    errors.NotFound: 404,
    errors.NotOffered: 405,
    errors.Conflict: 409,
    errors.Unservable: 409,
    errors.Gone: 410,
    errors.TooLarge: 413,
    errors.Encoded: 415,
    errors.Invalid: 422,
    errors.FieldNotOffered: 422,
    errors.TooMany: 429,
    errors.RateLimited: 429,
    errors.Misconfigured: 500,
    errors.Unavailable: 503,
}

_HEADERS = {
    401: (("www-authenticate", "Bearer"),),
    415: (("accept-encoding", "identity"),),  # RFC 9110, section 15.5.16
    429: (("retry-after", "1"),),
    503: (("retry-after", "1"),),
}


def status_of(error: errors.AgenthallError) -> int:
    """Return the status of the error's class, or of its nearest ancestor in the table.

    A refusal of a handler has its own.
    """
    if isinstance(error, errors.Refused):
        return error.status
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)


def headers_of(status: int) -> tuple[tuple[str, str], ...]:
    """Return the headers that an error response of this status has."""
    return _HEADERS.get(status, ())


def error_class(status: int) -> type[errors.AgenthallError]:
    """Return the error that a client raises for a response of this status. Conflict stands for 409."""
    if status >= 500:  # noqa: PLR2004 - the server's fault, whatever it is
        return errors.Unavailable
    return next((kind for kind, each in STATUSES.items() if each == status), errors.AgenthallError)
