"""The check of the proxy."""

from __future__ import annotations

import pytest

from robyn_server.doctor.checks.proxy import proxy_checks
from robyn_server.supervisor.proxy import front as front_module

ANY = "0.0.0.0"


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AGENTHALL_BEHIND_PROXY", "AGENTHALL_DOMAIN"):
        monkeypatch.delenv(name, raising=False)


def test_loopback_needs_no_proxy() -> None:
    assert list(proxy_checks("127.0.0.1")) == []


def test_the_proxy_that_serve_starts_is_named() -> None:
    [found] = proxy_checks(ANY)
    assert found.passed and "caddy" in found.text


def test_a_proxy_of_the_operators_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTHALL_BEHIND_PROXY", "1")
    [found] = proxy_checks(ANY)
    assert found.passed and "AGENTHALL_BEHIND_PROXY" in found.text


def test_an_address_without_a_proxy_fails_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_module, "find_spec", lambda _name: None)
    [found] = proxy_checks(ANY)
    assert not found.passed and "agenthall[proxy]" in found.text


def test_a_domain_on_loopback_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTHALL_DOMAIN", "agents.example.com")
    [found] = proxy_checks("127.0.0.1")
    assert not found.passed and "AGENTHALL_DOMAIN" in found.text
