"""Messages that cannot be sent or read."""

from __future__ import annotations

import asyncio

import pytest
from agenthall_client import Refused
from registry_server import RegistryServer


async def test_a_message_that_is_too_long_is_refused_by_the_client(server: RegistryServer) -> None:
    async with server.instance("wordy") as me:
        with pytest.raises(Refused) as refused:
            await me.update(runtime_config={"text": "x" * 70_000})
        assert refused.value.reason == "too_large" and (await me.status(me.registration_id)).epoch == 1


async def test_brackets_in_a_string_are_registered(server: RegistryServer) -> None:
    async with server.instance("bracketed", runtime_config={"p": "[" * 80}) as me:
        assert (await me.status(me.registration_id)).runtime_config == {"p": "[" * 80}


async def test_the_caller_of_an_unreadable_request_gets_its_error(server: RegistryServer) -> None:
    unreadable = "\ud800"  # one half of a surrogate pair: JSON can escape it, but it is not text
    with pytest.raises(Refused, match="not JSON"):
        async with server.instance("unreadable", name=unreadable):
            pass
    async with server.instance("unreadable") as me:
        results = await asyncio.gather(me.update(name=unreadable), me.update(zone="eu"), return_exceptions=True)
        assert isinstance(results[0], Refused) and results[0].code == 4000
        assert (await me.status(me.registration_id)).zone == "eu" and me.epoch == 1
