"""The error tree. Nothing in it knows HTTP: `web/problems.py` maps types to statuses in one table.

AgenthallError
├── BadRequest            the request contradicts itself or names something impossible
├── Invalid               a field has the wrong type, shape or range; `field` names it
├── Unauthenticated       credentials missing, malformed or expired
├── Forbidden             the principal is known and may not do this
├── NotFound              no such thing, or none that this principal may see
├── Gone                  the thing is over; whoever it was must begin anew
├── Conflict              the thing is in another state, or exists already
├── Unservable            the thing is there, and somebody must mend it before it can be used; trying again does not help
├── TooLarge              a body or a queue over its limit
├── TooMany               the principal has as many of them as one may have; one less, and there is room
├── NotOffered            part of the API that this server does not implement (yet)
├── Unavailable           something that this server depends on does not answer; try again
│   └── CatalogueUnavailable
└── Misconfigured         settings or surroundings that must be mended before the server can work
"""

from __future__ import annotations


class AgenthallError(Exception):
    """Base of all errors that are told to a caller. `code` is stable, `str(error)` is for people."""

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


class TooMany(AgenthallError):
    code = "too_many"


class NotOffered(AgenthallError):
    code = "not_offered"


class Unavailable(AgenthallError):
    code = "unavailable"


class CatalogueUnavailable(Unavailable):
    code = "catalogue_unavailable"


class Misconfigured(AgenthallError):
    code = "misconfigured"
