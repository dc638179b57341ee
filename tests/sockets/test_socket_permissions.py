"""The table of permissions on sockets, cell by cell: every method with every scope."""

from __future__ import annotations

import pytest
from network.websocket_client import Refused, WebSocketClient
from servers.local_socket_server import ALPHA, LocalSocketServer

from robyn_server.core.access.permissions import ANY_SCOPE, PERMISSIONS, permits
from robyn_server.core.access.principal import Principal
from robyn_server.core.access.scopes import Scope
from robyn_server.sockets.methods.table import METHODS

SCOPES = {
    **dict.fromkeys(("ping", "agent.status", "agent.unwatch"), None),
    **dict.fromkeys(("agent.list", "agent.discover", "agent.watch"), Scope.AGENTS_READ),
    **dict.fromkeys(("agent.register", "agent.heartbeat", "agent.update"), Scope.AGENTS_REGISTER),
    **dict.fromkeys(("agent.drain", "agent.deregister"), Scope.AGENTS_REGISTER),
    **dict.fromkeys(("job.accept", "job.reject", "job.events", "job.extend", "job.finish"), Scope.AGENTS_REGISTER),
}
"""Methods with the scope that a key with scopes needs, as the documentation has them."""


def test_each_method_needs_its_scope() -> None:
    found = {name: PERMISSIONS[method.operation] for name, method in METHODS.items()}
    assert {name: None if each.scopes == ANY_SCOPE else each.main_scope for name, each in found.items()} == SCOPES


async def _refusal(socket: WebSocketClient, method: str) -> tuple[int, str, str | None] | None:
    """The refusal of a call without parameters; None for a result, and for a refusal of the parameters."""
    try:
        await socket.ask(method)
    except Refused as refused:
        return (refused.code, refused.reason, refused.field) if refused.reason == "scope_missing" else None
    return None


@pytest.mark.parametrize("scope", [None, *Scope])
async def test_methods(server: LocalSocketServer, scope: Scope | None) -> None:
    scopes = frozenset() if scope is None else frozenset({scope})
    key = Principal(f"key:{scope}", frozenset({ALPHA}), scopes, limited=scope is not None)
    server.authenticator.keys["cell"] = key
    wrong = {}
    async with server.dial(key="cell") as socket:
        for name, method in METHODS.items():
            needed = PERMISSIONS[method.operation].main_scope
            expected = None if permits(key, method.operation) else (4001, "scope_missing", needed.value)
            if (got := await _refusal(socket, name)) != expected:
                wrong[name] = (got, expected)
    assert wrong == {}
