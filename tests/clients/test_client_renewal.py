"""A token function is asked again when what it brought is about to end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from agenthall_client import AgentInstance
from live_server import until
from places import ALPHA, Place
from places import place as own_server

from robyn_server.sockets.codes import Close

DEADLINE = 20.0


def add_key(here: Place, key: str, left: float) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=left)
    here.people.keys[key] = replace(here.people.keys["alpha-key"], expires_at=ends)


async def test_fresher_credentials_are_shown_on_the_same_socket() -> None:
    async with own_server() as here, asyncio.timeout(DEADLINE):
        brought = ["first", "second"]
        add_key(here, "first", 4)
        add_key(here, "second", 3600)

        async def token() -> str:
            return brought.pop(0)

        async with AgentInstance("renewed", url=here.url, token=token, tenant_id=ALPHA) as me:
            (session,) = here.hall
            await until(lambda: session.admitted.shown.credential == "second")
            assert (session.admitted.shown.organization, session.socket.is_open, me.epoch) == (ALPHA, True, 1)
            assert brought == []


async def test_a_token_function_that_fails_leaves_the_socket_alone_until_its_credentials_end() -> None:
    async with own_server() as here, asyncio.timeout(DEADLINE):
        asked: list[str] = []
        add_key(here, "first", 3600)

        def token() -> str:
            asked.append("token")
            if len(asked) == 2:
                raise OSError("the issuer is away")
            return "first"

        async with AgentInstance("kept", url=here.url, token=token) as me:
            (session,) = here.hall
            session.notify("auth.expiring", {})
            await until(lambda: len(asked) == 2)
            me.beat_now()
            await me.update(zone="eu")
            assert list(here.hall) == [session]
            session.part(Close.CREDENTIALS, "The token has expired.")
            await until(lambda: len(asked) == 3 and me.epoch == 2)
