"""The doctor, and the start of a server, on REDIS_URL."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from remote.valkey_server import ValkeyServer, requires_valkey, valkey_server

from robyn_server.app.parts.redis import open_redis
from robyn_server.app.preflight import run_preflight
from robyn_server.core.errors import Misconfigured
from robyn_server.doctor.checks.redis import redis_checks
from robyn_server.settings import Settings, load_settings


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with valkey_server("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as server:
        yield server


def _check(monkeypatch: pytest.MonkeyPatch, url: str) -> tuple[bool, str]:
    monkeypatch.setenv("REDIS_URL", url)
    (check,) = redis_checks("127.0.0.1", 0)
    assert check.name == "redis"
    return check.passed, check.text


def test_without_a_url_there_is_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    assert list(redis_checks("127.0.0.1", 0)) == []


@requires_valkey
def test_a_server_is_named_with_its_version_and_a_policy_that_deletes_streams(
    monkeypatch: pytest.MonkeyPatch, valkey: ValkeyServer
) -> None:
    passed, text = _check(monkeypatch, valkey.url)
    assert passed and text.startswith("Valkey ")
    assert f"redis://127.0.0.1:{valkey.port}/0; maxmemory-policy is allkeys-lru" in text


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://:hidden@127.0.0.1:1/0", "redis://127.0.0.1:1/0 does not answer"),
        ("http://:hidden@127.0.0.1", "must start with redis://"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(monkeypatch: pytest.MonkeyPatch, url: str, reason: str) -> None:
    passed, text = _check(monkeypatch, url)
    assert not passed and reason in text and "hidden" not in text


def test_a_missing_library_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "redis" else found(name))
    passed, text = _check(monkeypatch, "redis://127.0.0.1:1/0")
    assert not passed and "pip install 'agenthall[redis]'" in text
    with pytest.raises(Misconfigured, match="pip install") as error:
        run_preflight(load_settings(database_url="postgresql://nobody@127.0.0.1:1/none"))
    assert error.value.field == "REDIS_URL"


def test_redis_for_new_runs_needs_a_url() -> None:
    with pytest.raises(ValueError, match="AGENTHALL_EVENT_TRANSPORT=redis needs REDIS_URL"):
        Settings(AGENTHALL_EVENT_TRANSPORT="redis")
    assert not Settings().uses_redis_for_new_runs
    assert Settings(REDIS_URL="redis://host").uses_redis_for_new_runs
    assert not Settings(REDIS_URL="redis://host", AGENTHALL_EVENT_TRANSPORT="postgres").uses_redis_for_new_runs
    assert "hidden" not in repr(Settings(REDIS_URL="redis://:hidden@host"))


async def test_a_server_starts_while_redis_does_not_answer() -> None:
    async with AsyncExitStack() as closing:
        connection = await open_redis(Settings(REDIS_URL="redis://127.0.0.1:1/0"), closing, "test")
        assert connection is not None and not connection.health.is_up
        assert await open_redis(Settings(), closing, "test") is None
