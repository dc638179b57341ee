"""Errors of the protocol as exceptions."""

from __future__ import annotations

from agenthall_client import ClientError, Forbidden, Refused, Unauthenticated
from agenthall_client.errors import error_from_message


def test_the_reason_tells_missing_credentials_from_missing_rights() -> None:
    def error_type(code: int, reason: str) -> type[ClientError]:
        error = {"code": code, "message": "no", "data": {"reason": reason}, "retryable": False}
        return type(error_from_message(error))

    assert error_type(4001, "key_expired") is Unauthenticated
    assert error_type(4001, "scope_missing") is Forbidden
    assert error_type(4005, "invalid") is Refused
