"""Credentials that end while their socket is open: the client is told, may show fresher ones, and is closed
otherwise."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from network.websocket_client import DEADLINE
from servers.local_socket_server import LocalSocketServer

from robyn_server.core.errors import Unauthenticated
from robyn_server.sockets.sessions.expiry import CredentialExpiry, track_expiry

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


@pytest.mark.parametrize(("left", "notice"), [(86_400, 60), (600, 60), (300, 30), (50, 5), (20, 5), (3, 5)])
def test_the_notice_is_a_tenth_of_what_is_left_of_5_to_60_seconds(left: float, notice: float) -> None:
    expiry = CredentialExpiry.of(NOON + seconds(left), NOON)
    assert expiry.at - expiry.notify_from == seconds(notice)


def test_it_is_told_once_and_not_after_the_end() -> None:
    expiry = CredentialExpiry.of(NOON + seconds(100), NOON)
    assert not expiry.should_notify(NOON + seconds(89))
    assert expiry.should_notify(NOON + seconds(91)) and not expiry.should_notify(NOON + seconds(92))
    assert not CredentialExpiry.of(NOON, NOON - seconds(100)).should_notify(NOON)


def test_only_credentials_of_another_end_are_told_anew() -> None:
    told = CredentialExpiry.of(NOON, NOON - seconds(1))
    assert told.should_notify(NOON - seconds(1))
    assert track_expiry(told, NOON, NOON) is told
    later = track_expiry(told, NOON + seconds(1000), NOON)
    assert later is not None and not later.is_notified
    assert track_expiry(told, None, NOON) is None


class Passing:
    """Keys of one principal that end; the end is verified as the server does, by the clock."""

    def __init__(self, server: LocalSocketServer) -> None:
        self._known = server.authenticator.identify
        self._keys = server.authenticator.keys
        self.ends: dict[str, datetime] = {}

    def add(self, key: str, left: float) -> datetime:
        self.ends[key] = datetime.now(UTC) + seconds(left)
        self._keys[key] = replace(self._keys["alpha-key"], expires_at=self.ends[key])
        return self.ends[key]

    async def identify(self, credentials: Any, organization: Any = None) -> Any:
        found = await self._known(credentials, organization)
        if found.expires_at is not None and datetime.now(UTC) >= found.expires_at:
            raise Unauthenticated("The API key has expired.", code="key_expired")
        return found


@pytest.fixture
def passing(server: LocalSocketServer, monkeypatch: pytest.MonkeyPatch) -> Passing:
    made = Passing(server)
    monkeypatch.setattr(server.authenticator, "identify", made.identify)
    return made


async def test_a_socket_knows_when_its_credentials_end(server: LocalSocketServer, passing: Passing) -> None:
    end = passing.add("passing", 3600)
    async with server.dial(key="passing") as socket:
        assert datetime.fromisoformat((await socket.ask("agent.status"))["expires_at"]) == end
    async with server.dial(key=None) as socket:
        answer = await socket.ask("auth", api_key="passing")
        assert datetime.fromisoformat(answer["expires_at"]) == end
    async with server.dial() as socket:
        assert (await socket.ask("agent.status"))["expires_at"] is None


async def test_who_is_told_and_shows_nothing_is_closed_when_they_end(
    server: LocalSocketServer, passing: Passing
) -> None:
    end = passing.add("short", 3)
    async with asyncio.timeout(DEADLINE), server.dial(key="short") as socket:
        told = await socket.wait_for_notification("auth.expiring")
        assert datetime.fromisoformat(told["expires_at"]) == end and 0 < told["seconds_left"] <= 3
        assert await socket.close_code() == 4401
        assert socket.socket.close_reason == "The API key has expired."
        assert end <= datetime.now(UTC) < end + seconds(server.hub.limits.recheck_seconds)
    assert socket.notifications == []


async def test_fresher_credentials_on_the_same_socket_outlive_the_old_ones(
    server: LocalSocketServer, passing: Passing
) -> None:
    passing.add("old", 3)
    later = passing.add("fresh", 3600)
    async with asyncio.timeout(DEADLINE), server.dial(key="old") as socket:
        made = await socket.ask("agent.register", agent_id="ide")
        await socket.wait_for_notification("auth.expiring")
        assert datetime.fromisoformat((await socket.ask("auth", token="fresh"))["expires_at"]) == later
        del server.authenticator.keys["old"]
        (session,) = server.hub
        session.verified_at -= server.hub.limits.recheck_seconds
        await server.monitor.verify_credentials()
        assert not session.has_expired
        assert (await socket.ask("agent.heartbeat"))["registration_id"] == made["registration_id"]
