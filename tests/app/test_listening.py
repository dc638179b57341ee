"""The addresses that a process without a proxy refuses."""

from __future__ import annotations

import pytest

from robyn_server.app.listening import check_listening
from robyn_server.app.sockets import run_sockets
from robyn_server.app.web import run_web
from robyn_server.core.errors import Misconfigured
from robyn_server.settings import load_settings

ANY = "0.0.0.0"


@pytest.mark.parametrize("run", [check_listening, run_web, run_sockets])
def test_an_address_of_a_network_needs_a_proxy_in_front(run: object) -> None:
    assert callable(run)
    with pytest.raises(Misconfigured, match="AGENTHALL_BEHIND_PROXY=1") as refused:
        run(load_settings(auth_mode="keys", host=ANY))
    assert refused.value.field == "AGENTHALL_HOST"


@pytest.mark.parametrize(("host", "behind"), [("127.0.0.1", False), ("::1", False), (ANY, True)])
def test_loopback_and_proxied_addresses_are_served(host: str, behind: bool) -> None:
    check_listening(load_settings(auth_mode="keys", host=host, behind_proxy=behind))
