"""Organizations of a subject, by an operator's query."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

import jwt
import pytest
from run_storage import RunStorage
from servers.live_server import until

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Misconfigured, Unavailable
from robyn_server.identity.authenticator import Authenticator
from robyn_server.settings import load_settings
from robyn_server.storage.memberships import MOST_ORGANIZATIONS, check_membership_query, read_organizations

HARBOUR, MEADOW = UUID(int=1), UUID(int=2)
QUERY = "select organization_id from public.members where user_id = $1"
SECRET = "s" * 32


@pytest.fixture
async def members(storage: RunStorage) -> RunStorage:
    await storage.admin.execute("create table public.members (user_id text, organization_id uuid)")
    rows = [("ada", HARBOUR), ("ada", MEADOW), ("bob", HARBOUR)]
    await storage.admin.executemany("insert into public.members values ($1, $2)", rows)
    return storage


async def test_a_subject_belongs_where_the_query_says(members: RunStorage) -> None:
    assert await read_organizations(members.admin, QUERY, "ada") == {HARBOUR, MEADOW}
    assert await read_organizations(members.admin, QUERY, "nobody") == frozenset()
    as_text = "select organization_id::text from public.members where user_id = $1"
    assert await read_organizations(members.admin, as_text, "bob") == {HARBOUR}
    by_uuid = f"select '{MEADOW}'::uuid where $1::uuid = '{HARBOUR}'"
    assert await read_organizations(members.admin, by_uuid, str(HARBOUR)) == {MEADOW}


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("selekt 1", "does not prepare"),
        ("select organization_id from public.nowhere where a = $1", "does not prepare"),
        ("select organization_id from public.members", r"must take \$1"),
        ("select organization_id from public.members where user_id = $1 or user_id = $2", r"must take \$1"),
        ("select organization_id from public.members where length(user_id) = $1", r"must take \$1"),
        ("select user_id, organization_id from public.members where user_id = $1", "one column"),
        ("select length(user_id) from public.members where user_id = $1", "one column"),
        ("select 'no uuid'::text where $1::text = 'ada'", "not a UUID"),
        ("select null::uuid where $1::text = 'ada'", "not a UUID"),
        ("delete from public.members where user_id = $1 returning organization_id", "read-only"),
        (f"select gen_random_uuid() from generate_series(0, {MOST_ORGANIZATIONS}) where $1::text = 'ada'", "more than"),
    ],
)
async def test_a_query_that_cannot_be_used_is_said_to_be(members: RunStorage, query: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why) as caught:
        await read_organizations(members.admin, query, "ada")
    assert caught.value.field == "AUTH_MEMBERSHIP_QUERY"


async def test_the_doctor_needs_no_subject_to_see_it(members: RunStorage) -> None:
    async with members.admin.acquire() as connection:
        await check_membership_query(connection, QUERY)
        with pytest.raises(Misconfigured):
            await check_membership_query(connection, "select 1 where $1::text = ''")


def identity(storage: RunStorage, query: str = QUERY) -> Authenticator:
    made = Authenticator(load_settings(auth_mode="jwt", jwt_secret=SECRET, membership_query=query))
    made.open(storage.system, storage.admin)
    return made


def token(sub: str, **claims: Any) -> str:
    return jwt.encode({"sub": sub, "exp": time.time() + 60, **claims}, SECRET, "HS256")


async def test_the_query_is_asked_instead_of_the_claim(members: RunStorage) -> None:
    made = identity(members)
    claimed = token("bob", organizations=[str(MEADOW)], user_metadata={"organizations": [str(MEADOW)]})
    assert await made.identify(claimed) == Principal("bob", frozenset({HARBOUR}))
    assert (await made.identify(claimed, HARBOUR)).acting_for == HARBOUR


async def test_an_answer_is_remembered_and_asked_for_once(members: RunStorage) -> None:
    made = identity(members, "select gen_random_uuid() from (select $1::text) s")
    principals = await asyncio.gather(*(made.identify(token("ada")) for _ in range(20)))
    assert len({principal.organizations for principal in principals}) == 1
    assert (await made.identify(token("bob"))).organizations != principals[0].organizations


async def test_a_query_that_fails_is_never_an_answer(members: RunStorage) -> None:
    made = identity(members)
    await members.admin.execute("alter table public.members rename to elsewhere")
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            await made.identify(token("ada"))
        assert caught.value.code == "membership_unavailable"
        assert "members" not in caught.value.detail
    await members.admin.execute("alter table public.elsewhere rename to members")

    async def belongs() -> bool:
        return (await made.identify(token("ada"))).organizations == {HARBOUR, MEADOW}

    await until(belongs)
