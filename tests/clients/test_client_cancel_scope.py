"""Cancellation of the body of an `async with`."""

from __future__ import annotations

import asyncio

from agenthall_client.cancel_scope import CancelScope


async def test_a_body_that_ends_as_it_is_cancelled_is_not_cancelled_later() -> None:
    scope = CancelScope()
    scope.enter()
    scope.cancel(LookupError("gone"))
    instead = await scope.exit(None)
    assert isinstance(instead, LookupError)
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0
