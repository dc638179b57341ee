"""Error codes and close codes, and the errors of core that they stand for.

RFC 6455, section 7.4.2: 4000-4999 are for private use. Error codes and close codes are separate tables that share the
range.
"""

from __future__ import annotations

from enum import IntEnum

from robyn_server.core import errors


class ErrorCode(IntEnum):
    """`code` in an error reply."""

    INVALID_MESSAGE = 4000
    AUTHENTICATION = 4001
    RATE_LIMITED = 4002
    SERVER = 4003
    UNKNOWN_METHOD = 4004
    INVALID_PARAMS = 4005
    CANCELLED = 4006
    CONFLICT = 4008


class CloseCode(IntEnum):
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
"""JSON-RPC's code for a message that is not JSON; ours is INVALID_MESSAGE."""

JSONRPC = {
    ErrorCode.INVALID_MESSAGE: -32600,
    ErrorCode.UNKNOWN_METHOD: -32601,
    ErrorCode.INVALID_PARAMS: -32602,
    ErrorCode.SERVER: -32603,
}
JSONRPC_OTHER = -32000
"""JSON-RPC 2.0, section 5.1: the range for servers. Our own code is in `data.code`."""


class ProtocolError(errors.AgenthallError):
    """An error as it is sent to a client. `reason` is the stable word, equal to `code` in the problems of the HTTP API.

    `close`: the code that the socket is closed with after the reply. `unreadable`: the message was not JSON.
    """

    def __init__(
        self,
        number: ErrorCode,
        detail: str,
        *,
        reason: str,
        field: str | None = None,
        retryable: bool = False,
        close: CloseCode | None = None,
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


TABLE: dict[type[errors.AgenthallError], ErrorCode] = {
    errors.BadRequest: ErrorCode.INVALID_PARAMS,
    errors.Invalid: ErrorCode.INVALID_PARAMS,
    errors.NotFound: ErrorCode.INVALID_PARAMS,
    errors.TooLarge: ErrorCode.INVALID_PARAMS,
    errors.Encoded: ErrorCode.INVALID_PARAMS,
    errors.TooMany: ErrorCode.RATE_LIMITED,
    errors.Unauthenticated: ErrorCode.AUTHENTICATION,
    errors.Forbidden: ErrorCode.AUTHENTICATION,
    errors.Conflict: ErrorCode.CONFLICT,
    errors.Gone: ErrorCode.CONFLICT,
    errors.Unservable: ErrorCode.CONFLICT,
    errors.NotOffered: ErrorCode.UNKNOWN_METHOD,
    errors.FieldNotOffered: ErrorCode.INVALID_PARAMS,
    errors.Unavailable: ErrorCode.SERVER,
    errors.Misconfigured: ErrorCode.SERVER,
}
_TENANT_FIELDS = frozenset({"tenant_id", "X-Organization-Id"})


def to_protocol_error(error: errors.AgenthallError) -> ProtocolError:
    """`error` as it is sent to a client."""
    if isinstance(error, ProtocolError):
        return error
    number = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), ErrorCode.SERVER)
    return ProtocolError(
        number,
        error.detail,
        reason=error.code,
        field=error.field,
        retryable=isinstance(error, errors.Unavailable),
        close=_closing(error),
    )


def _closing(error: errors.AgenthallError) -> CloseCode | None:
    if isinstance(error, errors.Unauthenticated):
        return CloseCode.CREDENTIALS
    if isinstance(error, errors.Forbidden) and error.field in _TENANT_FIELDS:
        return CloseCode.TENANT
    return None


def invalid_message(detail: str, *, reason: str = "invalid_message", unreadable: bool = False) -> ProtocolError:
    return ProtocolError(ErrorCode.INVALID_MESSAGE, detail, reason=reason, unreadable=unreadable)


def internal_error() -> ProtocolError:
    """For an unexpected error: its traceback is in the log, and the client is told nothing about it."""
    return ProtocolError(
        ErrorCode.SERVER, "Internal error; it is in the server's log.", reason="internal", retryable=True
    )
