"""Refused registrations over a socket are counted."""

from __future__ import annotations

from typing import Any

import pytest
from network.websocket_client import expect_refused
from servers.local_socket_server import BETA, LocalSocketServer

from robyn_server.core.errors import Invalid, Unavailable
from robyn_server.metrics.definitions import REGISTRATIONS
from robyn_server.metrics.exposition import samples


def _counts() -> tuple[float, float]:
    found = samples(REGISTRATIONS)
    return found.get(("refused",), 0), found.get(("failed",), 0)


@pytest.mark.parametrize(
    ("key", "params"),
    [
        ("alpha-key", {"agent_id": ""}),
        ("alpha-key", {"agent_id": "ide", "colour": "red"}),
        ("alpha-key", {"agent_id": "ide", "tenant_id": str(BETA)}),
        ("reader", {"agent_id": "ide"}),
        (None, {"agent_id": "ide"}),
        (None, {"agent_id": "ide", "auth": {"api_key": "nobody's"}}),
    ],
)
async def test_whatever_the_caller_did_it_is_one_refusal(
    server: LocalSocketServer, key: str | None, params: dict[str, Any]
) -> None:
    before = _counts()
    async with server.dial(key=key) as socket:
        await expect_refused(socket.ask("agent.register", **params))
    assert _counts() == (before[0] + 1, before[1])


@pytest.mark.parametrize(
    ("error", "more"), [(Invalid("no"), (1, 0)), (Unavailable("away"), (0, 1)), (RuntimeError("ours"), (0, 1))]
)
async def test_what_the_registry_says_is_told_from_what_it_cannot(
    server: LocalSocketServer, error: Exception, more: tuple[int, int]
) -> None:
    before, server.registry.error = _counts(), error
    async with server.dial() as socket:
        await expect_refused(socket.ask("agent.register", agent_id="ide"))
    assert _counts() == (before[0] + more[0], before[1] + more[1])


async def test_other_methods_that_are_refused_are_no_registrations(server: LocalSocketServer) -> None:
    before = _counts()
    async with server.dial() as socket:
        await expect_refused(socket.ask("agent.list", limit=0))
        await socket.ask("agent.register", agent_id="ide")
    assert _counts() == before
