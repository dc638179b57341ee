"""The address of the server."""

from __future__ import annotations

import os

import pytest
from agenthall_client import Client, Refused
from agenthall_client.connection.address import ServerAddress
from registry_server import RegistryServer


def test_a_url_is_validated_before_anything_connects() -> None:
    with pytest.raises(ValueError, match="ftp"):
        Client("ftp://here")


def test_the_default_is_this_machine() -> None:
    assert os.environ.get("AGENTHALL_URL") is None and ServerAddress(None).url == "http://127.0.0.1:2024"


async def test_another_http_server_is_refused(server: RegistryServer) -> None:
    with pytest.raises(Refused):
        await ServerAddress(f"{server.url}/nowhere").websocket_url()
    with pytest.raises(Refused, match="reports no WebSocket URL"):
        await ServerAddress(f"http://127.0.0.1:{server.sockets_port}/livez?").websocket_url()
