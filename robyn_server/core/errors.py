"""The error tree. Nothing in it knows HTTP: `http_status.py` maps types to statuses in one table.

AgenthallError
├── BadRequest            the request contradicts itself or names something impossible
├── Invalid               a field has the wrong type, shape or range; `field` names it
├── Unauthenticated       credentials missing, malformed or expired
├── Forbidden             the principal is known and may not do this
├── NotFound              the resource does not exist, or this principal may not see it
├── Gone                  the resource has ended; start again with a new one
├── Conflict              the resource is in another state, or exists already
├── Unservable            the resource exists and must be repaired before it can be used; a retry does not help
├── TooLarge              a body or a queue is over its limit
├── Encoded               a body is compressed, which this server does not undo
├── TooMany               the principal has as many as it may have at the same time
│   └── RateLimited       it sent as many requests as it may send in a time; `retry_after` seconds make room
├── NotOffered            an operation of the API that this server does not implement (yet)
│   └── FieldNotOffered   a field, or a value of one, that it does not implement; `field` names it
├── Refused               a handler of the project refuses the request, with a status of its own
├── Unavailable           something that this server depends on does not answer; try again
│   └── CatalogueUnavailable
└── Misconfigured         settings or the environment must be corrected before the server can work
"""

from __future__ import annotations


class AgenthallError(Exception):
    """Base of all errors that are reported to a client. `code` is stable, `str(error)` is for people."""

    code = "error"

    def __init__(self, detail: str, *, code: str | None = None, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        if code is not None:
            self.code = code


class BadRequest(AgenthallError):
    code = "bad_request"


class Invalid(AgenthallError):
    code = "invalid"


class Unauthenticated(AgenthallError):
    code = "unauthenticated"


class Forbidden(AgenthallError):
    code = "forbidden"


class NotFound(AgenthallError):
    code = "not_found"


class Gone(AgenthallError):
    code = "gone"


class Conflict(AgenthallError):
    code = "conflict"


class Unservable(AgenthallError):
    code = "unservable"


class TooLarge(AgenthallError):
    code = "too_large"


class Encoded(AgenthallError):
    code = "content_encoding"


class TooMany(AgenthallError):
    code = "too_many"


class RateLimited(TooMany):
    code = "rate_limited"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class NotOffered(AgenthallError):
    code = "not_offered"


class FieldNotOffered(NotOffered):
    """Has the code of NotOffered."""


class Refused(AgenthallError):
    """`status` and `headers`: those of HTTP, which the handler chose."""

    code = "handler_refused"

    def __init__(self, detail: str, *, status: int, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


class Unavailable(AgenthallError):
    code = "unavailable"


class CatalogueUnavailable(Unavailable):
    code = "catalogue_unavailable"


class Misconfigured(AgenthallError):
    code = "misconfigured"
