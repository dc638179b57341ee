"""Ports are found, checked and held; hosts become addresses."""

from __future__ import annotations

import socket

import pytest

from robyn_server.core.errors import Misconfigured
from robyn_server.core.urls.hosts import local_url
from robyn_server.ports import free_port, hold_port, is_free, resolve


def test_a_name_is_resolved_to_an_address_for_robyn() -> None:
    assert resolve("localhost", 80) == (socket.AF_INET, ("127.0.0.1", 80))
    assert resolve("::1", 80)[1] == ("::1", 80)
    with pytest.raises(Misconfigured, match="cannot resolve"):
        resolve("no-such-host.invalid", 80)


def test_port_0_becomes_a_port_that_is_held() -> None:
    with hold_port("127.0.0.1", 0) as held, socket.socket() as other:
        assert held.getsockname()[1] > 0
        with pytest.raises(OSError, match="in use"):
            other.bind(held.getsockname())


def test_a_held_port_is_refused_unless_it_is_shared() -> None:
    with hold_port("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        with pytest.raises(Misconfigured, match=r"is taken by another program; choose another with SOME_PORT"):
            hold_port("127.0.0.1", port, setting="SOME_PORT")
        with hold_port("127.0.0.1", port, shared=True) as second:
            assert second.getsockname() == held.getsockname()


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"set --host \(AGENTHALL_HOST\)"):
        hold_port("192.0.2.1", 0)


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        assert not is_free("127.0.0.1", taken)
        assert free_port("127.0.0.1", taken) not in {0, taken}
    assert free_port("127.0.0.1", taken) == taken


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("example.org", "http://example.org:1"),
    ],
)
def test_local_clients_reach_a_server_by_the_address_it_listens_on(host: str, url: str) -> None:
    assert local_url(host, 1) == url
