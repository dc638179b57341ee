"""The way through the whole house, as a client walks it."""

from __future__ import annotations

from live_server import LiveServer


async def test_a_run_can_be_waited_for(shared_server: LiveServer) -> None:
    values = await shared_server.sdk().runs.wait(None, "echo", input={"text": "hello"})
    assert values == {"text": "hello"}
