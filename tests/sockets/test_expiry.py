"""Credentials that end while their socket is open: the client is told, may show fresher ones, and is closed otherwise."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dialled import DEADLINE
from places import Place

from robyn_server.core.errors import Unauthenticated
from robyn_server.sockets.expiry import Expiry, renewed

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


@pytest.mark.parametrize(("left", "notice"), [(86_400, 60), (600, 60), (300, 30), (50, 5), (20, 5), (3, 5)])
def test_the_notice_is_a_tenth_of_what_is_left_of_5_to_60_seconds(left: float, notice: float) -> None:
    expiry = Expiry.of(NOON + seconds(left), NOON)
    assert expiry.at - expiry.told_from == seconds(notice)


def test_it_is_told_once_and_not_after_the_end() -> None:
    expiry = Expiry.of(NOON + seconds(100), NOON)
    assert not expiry.must_tell(NOON + seconds(89))
    assert expiry.must_tell(NOON + seconds(91)) and not expiry.must_tell(NOON + seconds(92))
    assert not Expiry.of(NOON, NOON - seconds(100)).must_tell(NOON)


def test_only_credentials_of_another_end_are_told_anew() -> None:
    told = Expiry.of(NOON, NOON - seconds(1))
    assert told.must_tell(NOON - seconds(1))
    assert renewed(told, NOON, NOON) is told
    later = renewed(told, NOON + seconds(1000), NOON)
    assert later is not None and not later.is_told
    assert renewed(told, None, NOON) is None


class Passing:
    """Keys of one principal that end; the end is verified as the server does, by the clock."""

    def __init__(self, place: Place) -> None:
        self._known = place.people.identify
        self._keys = place.people.keys
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
def passing(here: Place, monkeypatch: pytest.MonkeyPatch) -> Passing:
    made = Passing(here)
    monkeypatch.setattr(here.people, "identify", made.identify)
    return made


async def test_a_socket_knows_when_its_credentials_end(here: Place, passing: Passing) -> None:
    end = passing.add("passing", 3600)
    async with here.dial(key="passing") as socket:
        assert datetime.fromisoformat((await socket.ask("agent.status"))["expires_at"]) == end
    async with here.dial(key=None) as socket:
        answer = await socket.ask("auth", api_key="passing")
        assert datetime.fromisoformat(answer["expires_at"]) == end
    async with here.dial() as socket:
        assert (await socket.ask("agent.status"))["expires_at"] is None


async def test_who_is_told_and_shows_nothing_is_closed_when_they_end(here: Place, passing: Passing) -> None:
    end = passing.add("short", 3)
    async with asyncio.timeout(DEADLINE), here.dial(key="short") as socket:
        told = await socket.notified("auth.expiring")
        assert datetime.fromisoformat(told["expires_at"]) == end and 0 < told["seconds_left"] <= 3
        assert await socket.close_code() == 4401
        assert socket.socket.close_reason == "The API key has expired."
        assert end <= datetime.now(UTC) < end + seconds(here.hall.limits.recheck_seconds)
    assert socket.notices == []


async def test_fresher_credentials_on_the_same_socket_outlive_the_old_ones(here: Place, passing: Passing) -> None:
    passing.add("old", 3)
    later = passing.add("fresh", 3600)
    async with asyncio.timeout(DEADLINE), here.dial(key="old") as socket:
        made = await socket.ask("agent.register", agent_id="ide")
        await socket.notified("auth.expiring")
        assert datetime.fromisoformat((await socket.ask("auth", token="fresh"))["expires_at"]) == later
        del here.people.keys["old"]
        (session,) = here.hall
        session.verified_at -= here.hall.limits.recheck_seconds
        await here.hall.verify()
        assert not session.has_expired
        assert (await socket.ask("agent.heartbeat"))["registration_id"] == made["registration_id"]
