"""The parts of the client that decide something by themselves."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from agenthall_client import AgentInstance, Client, ClientError, Forbidden, Refused, State, Superseded, Unauthenticated
from agenthall_client.address import Address
from agenthall_client.backoff import Backoff
from agenthall_client.body import Body
from agenthall_client.closing import Again, Goodbye, refusal, verdict, verdict_of_status
from agenthall_client.names import claim
from places import place as own_server
from registry_place import HARBOUR, Place


def test_waits_grow_to_a_limit_and_begin_anew() -> None:
    for _ in range(50):
        backoff = Backoff(first=1.0, most=8.0)
        waits = [backoff.next() for _ in range(8)]
        assert all(0 <= wait <= ceiling for wait, ceiling in zip(waits, (1, 2, 4, 8, 8, 8, 8, 8), strict=True))
        backoff.reset()
        assert backoff.next() <= 1.0


@pytest.mark.parametrize(("code", "error"), [(4401, Unauthenticated), (4403, Forbidden), (4409, Superseded)])
def test_some_goodbyes_are_for_good(code: int, error: type[ClientError]) -> None:
    assert type(verdict(Goodbye(code, "so it is"))) is error


@pytest.mark.parametrize(
    ("goodbye", "least", "within"),
    [
        (Goodbye(None, ""), 0.0, None),
        (Goodbye(1000, ""), 0.0, None),
        (Goodbye(1011, "oh"), 0.0, None),
        (Goodbye(4408, "lease lost"), 0.0, 0.5),
        (Goodbye(4429, "slow"), 5.0, None),
        (Goodbye(1012, "restart"), 0.0, 2.0),
        (Goodbye(1012, "restart", 1.5), 1.5, 0.1),
    ],
)
def test_the_others_say_when_to_come_back(goodbye: Goodbye, least: float, within: float | None) -> None:
    again = verdict(goodbye)
    assert isinstance(again, Again)
    assert (again.least, again.within) == (least, within)


def test_a_refused_handshake_is_judged_by_its_status() -> None:
    kinds = [type(verdict_of_status(status, "no", 0)) for status in (401, 403, 400, 404, 429, 500, 503)]
    assert kinds == [Unauthenticated, Forbidden, Refused, Refused, Again, Again, Again]
    again = verdict_of_status(503, "starting", 7.0)
    assert isinstance(again, Again) and again.least == 7.0


def test_an_error_says_whether_credentials_or_rights_are_missing() -> None:
    def told(code: int, reason: str) -> type[ClientError]:
        return type(refusal({"code": code, "message": "no", "data": {"reason": reason}, "retryable": False}))

    assert told(4001, "key_expired") is Unauthenticated
    assert told(4001, "scope_missing") is Forbidden
    assert told(4005, "invalid") is Refused


def test_two_processes_have_two_names_and_a_later_one_has_the_first_again(tmp_path: Path) -> None:
    first, second, other = claim("ide"), claim("ide"), claim("bot")
    assert len({first.instance_id, second.instance_id, other.instance_id}) == 3
    first.release()
    again = claim("ide")
    assert again.instance_id == first.instance_id
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in tmp_path.iterdir())
    for name in (again, second, other):
        name.release()


def test_a_name_is_made_up_where_none_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AGENTHALL_STATE_DIR", str(tmp_path / "file"))
    assert claim("ide").instance_id != claim("ide").instance_id


def test_addresses_and_credentials_are_checked_before_anything_is_dialled() -> None:
    with pytest.raises(ValueError, match="ftp"):
        Client("ftp://here")
    with pytest.raises(ValueError, match="api_key and token"):
        AgentInstance("x", api_key="a", token="b")
    assert "secret" not in repr(Client(api_key="secret")._credentials)
    assert os.environ.get("AGENTHALL_URL") is None and Client()._address.url == "http://127.0.0.1:2024"


async def test_who_is_no_server_of_ours_is_told_apart(place: Place) -> None:
    with pytest.raises(Refused):
        await Address(f"{place.url}/nowhere").sockets()
    with pytest.raises(Refused, match="does not say where"):
        await Address(f"http://127.0.0.1:{place.sockets_port}/livez?").sockets()


async def test_a_body_that_ends_as_it_is_cancelled_is_not_cancelled_later() -> None:
    body = Body()
    body.enter()
    body.fail(LookupError("gone"))
    instead = await body.leave(None)
    assert isinstance(instead, LookupError)
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0


async def test_a_message_that_is_too_long_is_refused_here(place: Place) -> None:
    async with place.instance("wordy") as me:
        with pytest.raises(Refused) as refused:
            await me.update(runtime_config={"text": "x" * 70_000})
        assert refused.value.reason == "too_large" and (await me.status(me.registration_id))["epoch"] == 1


async def test_brackets_in_a_text_are_registered(place: Place) -> None:
    async with place.instance("bracketed", runtime_config={"p": "[" * 80}) as me:
        assert (await me.status(me.registration_id))["runtime_config"] == {"p": "[" * 80}


async def test_what_the_server_cannot_read_is_told_to_who_said_it(place: Place) -> None:
    unreadable = "\ud800"  # half of a pair: JSON may escape it, and it is no text
    with pytest.raises(Refused, match="not JSON"):
        async with place.instance("unreadable", name=unreadable):
            pass
    async with place.instance("unreadable") as me:
        told = await asyncio.gather(me.update(name=unreadable), me.update(zone="eu"), return_exceptions=True)
        assert isinstance(told[0], Refused) and told[0].code == 4000
        assert (await me.status(me.registration_id))["zone"] == "eu" and me.epoch == 1


async def test_who_is_told_to_drain_knows_it() -> None:
    async with own_server() as here, AgentInstance("told", url=here.url, api_key="alpha-key") as me:
        (session,) = here.hall
        session.notify("agent.draining", {**me.registration.named, "epoch": 0, "message": "in another life"})
        session.notify("agent.draining", {**me.registration.named, "message": "by an operator"})
        async with asyncio.timeout(20):
            await me.until_draining()
        assert me.state == State.DRAINING


async def test_a_token_may_come_from_a_function(place: Place) -> None:
    async def fresh() -> str:
        return place.key

    async with place.instance("tokened", api_key=None, token=fresh, tenant_id=HARBOUR) as me:
        assert me.epoch == 1


@pytest.mark.parametrize("name", ["capabilities", "tags"])
@pytest.mark.parametrize("value", ["abc", b"abc", 5, None, {"a": 1}, [1]])
def test_what_is_no_list_of_words_is_a_type_error_that_names_the_parameter(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name}: must be a list of words"):
        AgentInstance("ide-agent", **{name: value})


async def test_a_text_is_no_list_of_words_for_a_change_either() -> None:
    with pytest.raises(TypeError, match=r"^tags: must be a list of words, not str"):
        await AgentInstance("ide-agent").update(tags="abc")
