"""The reaction to a closed or refused connection."""

from __future__ import annotations

import pytest
from agenthall_client import ClientError, Forbidden, Refused, Superseded, Unauthenticated
from agenthall_client.connection.close_policy import CloseEvent, RetryConnection, error_for_close, error_for_status


@pytest.mark.parametrize(("code", "error"), [(4401, Unauthenticated), (4403, Forbidden), (4409, Superseded)])
def test_some_close_codes_are_final(code: int, error: type[ClientError]) -> None:
    assert type(error_for_close(CloseEvent(code, "the reason"))) is error


@pytest.mark.parametrize(
    ("event", "min_delay", "spread"),
    [
        (CloseEvent(None, ""), 0.0, None),
        (CloseEvent(1000, ""), 0.0, None),
        (CloseEvent(1011, "oh"), 0.0, None),
        (CloseEvent(4408, "lease lost"), 0.0, 0.5),
        (CloseEvent(4429, "slow"), 5.0, None),
        (CloseEvent(1012, "restart"), 0.0, 2.0),
        (CloseEvent(1012, "restart", 1.5), 1.5, 0.1),
    ],
)
def test_the_other_close_codes_say_when_to_reconnect(event: CloseEvent, min_delay: float, spread: float | None) -> None:
    retry = error_for_close(event)
    assert isinstance(retry, RetryConnection)
    assert (retry.min_delay, retry.spread) == (min_delay, spread)


def test_a_refused_handshake_is_decided_by_its_status() -> None:
    errors = [type(error_for_status(status, "no", 0)) for status in (401, 403, 400, 404, 429, 500, 503)]
    retry = RetryConnection
    assert errors == [Unauthenticated, Forbidden, Refused, Refused, retry, retry, retry]
    starting = error_for_status(503, "starting", 7.0)
    assert isinstance(starting, RetryConnection) and starting.min_delay == 7.0
