"""Numbers of errors and of closings, and which of ours becomes which.

RFC 6455, section 7.4.2: 4000-4999 are for private use. Errors and closings share the range, and are different tables.
"""

from __future__ import annotations

from enum import IntEnum

from robyn_server.core import errors


class Code(IntEnum):
    """`code` of an error."""

    INVALID_MESSAGE = 4000
    AUTHENTICATION = 4001
    RATE_LIMITED = 4002
    SERVER = 4003
    UNKNOWN_METHOD = 4004
    INVALID_PARAMS = 4005
    CANCELLED = 4006
    CONFLICT = 4008


class Close(IntEnum):
    """Why the server closes a socket."""

    NORMAL = 1000
    INTERNAL = 1011
    RESTART = 1012
    CREDENTIALS = 4401
    TENANT = 4403
    LEASE_LOST = 4408
    SUPERSEDED = 4409
    TOO_MANY = 4429


UNREADABLE = -32700
"""JSON-RPC's code for what is no JSON; the application has none of its own for that but INVALID_MESSAGE."""

JSONRPC = {
    Code.INVALID_MESSAGE: -32600,
    Code.UNKNOWN_METHOD: -32601,
    Code.INVALID_PARAMS: -32602,
    Code.SERVER: -32603,
}
JSONRPC_OTHER = -32000
"""JSON-RPC 2.0, section 5.1: the range that is left to servers. Ours is in `data.code`."""


class Fault(errors.AgenthallError):
    """An error as a client is told it. `reason` is the stable word, the same as `code` in REST's problems.

    `close`: the socket is closed with it after the answer. `unreadable`: the message was no JSON.
    """

    def __init__(
        self,
        number: Code,
        detail: str,
        *,
        reason: str,
        field: str | None = None,
        retryable: bool = False,
        close: Close | None = None,
        unreadable: bool = False,
    ) -> None:
        super().__init__(detail, code=reason, field=field)
        self.number = number
        self.retryable = retryable
        self.close = close
        self.unreadable = unreadable

    @property
    def jsonrpc(self) -> int:
        return UNREADABLE if self.unreadable else JSONRPC.get(self.number, JSONRPC_OTHER)


TABLE: dict[type[errors.AgenthallError], Code] = {
    errors.BadRequest: Code.INVALID_PARAMS,
    errors.Invalid: Code.INVALID_PARAMS,
    errors.NotFound: Code.INVALID_PARAMS,
    errors.TooLarge: Code.INVALID_PARAMS,
    errors.TooMany: Code.RATE_LIMITED,
    errors.Unauthenticated: Code.AUTHENTICATION,
    errors.Forbidden: Code.AUTHENTICATION,
    errors.Conflict: Code.CONFLICT,
    errors.Gone: Code.CONFLICT,
    errors.Unservable: Code.CONFLICT,
    errors.NotOffered: Code.UNKNOWN_METHOD,
    errors.Unavailable: Code.SERVER,
    errors.Misconfigured: Code.SERVER,
}
_TENANT_FIELDS = frozenset({"tenant_id", "X-Organization-Id"})


def fault(error: errors.AgenthallError) -> Fault:
    """`error` as a client is told it; a Fault is one already."""
    if isinstance(error, Fault):
        return error
    number = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), Code.SERVER)
    return Fault(
        number,
        error.detail,
        reason=error.code,
        field=error.field,
        retryable=isinstance(error, errors.Unavailable),
        close=_closing(error),
    )


def _closing(error: errors.AgenthallError) -> Close | None:
    if isinstance(error, errors.Unauthenticated):
        return Close.CREDENTIALS
    if isinstance(error, errors.Forbidden) and error.field in _TENANT_FIELDS:
        return Close.TENANT
    return None


def invalid_message(detail: str, *, reason: str = "invalid_message", unreadable: bool = False) -> Fault:
    return Fault(Code.INVALID_MESSAGE, detail, reason=reason, unreadable=unreadable)


def stranger() -> Fault:
    """For an error that nobody foresaw: its trace is in the log, the caller is told nothing."""
    return Fault(Code.SERVER, "Internal error; it is in the server's log.", reason="internal", retryable=True)
