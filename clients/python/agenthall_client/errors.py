"""Exceptions of this package.

ClientError
├── Unauthenticated   credentials are missing, wrong, expired or revoked; retrying does not help
├── Forbidden         the credentials are valid, but not for this tenant or method, or the agent is disabled
├── Superseded        a newer process has registered under the same instance_id and has taken over
├── Refused           the server rejects a request; `retryable` says whether the same request may succeed later
├── Unreachable       no server answered within the time limit
├── JobLost           the job ended, or was given to another instance; what this one does has no effect
├── JobCancelled      the job is to stop
└── Closed            the client was used before it was opened or after it was closed
"""

from __future__ import annotations

from typing import Any

_AUTHENTICATION = 4001
"""Error code for credentials and rights alike; `reason` tells them apart."""
_CREDENTIAL_REASONS = ("key_", "token_", "credentials_", "ticket_")


class ClientError(Exception):
    """Base of all errors of this package."""


class Unauthenticated(ClientError):
    pass


class Forbidden(ClientError):
    pass


class Superseded(ClientError):
    pass


class Refused(ClientError):
    """`code` is the error code of the protocol, `reason` a stable word, `field` the parameter that is wrong.

    `code` is None when the refusal is not a message of the protocol, as in the handshake.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: int | None = None,
        reason: str = "refused",
        field: str | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.reason = reason
        self.field = field
        self.retryable = retryable


class Unreachable(ClientError):
    pass


class JobLost(ClientError):
    pass


class JobCancelled(ClientError):
    pass


class Closed(ClientError):
    pass


def error_from_message(error: dict[str, Any]) -> ClientError:
    """Turn the `error` object of an error message into Unauthenticated, Forbidden or Refused."""
    data = error.get("data") or {}
    detail, code, reason = str(error.get("message")), error.get("code"), str(data.get("reason"))
    if code == _AUTHENTICATION:
        return Unauthenticated(detail) if reason.startswith(_CREDENTIAL_REASONS) else Forbidden(detail)
    return Refused(
        detail,
        code=code,
        reason=reason,
        field=data.get("field"),
        retryable=bool(error.get("retryable")),
    )


def unexpected_error(error: Exception) -> ClientError:
    """Wrap an exception of the program's callbacks, or of a fault in this package."""
    wrapped = ClientError(f"Unexpected error: {error!r}")
    wrapped.__cause__ = error
    return wrapped
