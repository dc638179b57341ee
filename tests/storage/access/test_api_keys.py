"""API keys in the database, and the ring that remembers them for seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from deadlines import DEADLINE
from read_costs import FEW, MANY, fill, touched
from run_storage import RunStorage
from servers.live_server import until

from robyn_server.core.access.api_key import _checksum, mint
from robyn_server.core.access.principal import LOCAL, Kind, Principal
from robyn_server.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated, Unavailable
from robyn_server.identity.api_key_verifier import ApiKeyVerifier
from robyn_server.identity.api_keys import ApiKeyService, IssuedKey, KeyRequest
from robyn_server.storage.api_keys import ApiKeys, KnownKey
from robyn_server.storage.postgres.queries import load

HARBOUR, MEADOW = UUID(int=1), UUID(int=2)


class Counted(ApiKeys):
    """The real thing, and how often it was asked."""

    def __init__(self, pool: Any) -> None:
        super().__init__(pool)
        self.asked: list[str] = []
        self.writes: list[list[str]] = []
        self.is_down = False

    async def find(self, prefix: str) -> KnownKey | None:
        self.asked.append(prefix)
        return await super().find(prefix)

    async def touch(self, prefixes: Iterable[str]) -> None:
        if self.is_down:
            raise Unavailable("The database cannot be reached.")
        self.writes.append(list(prefixes))
        await super().touch(self.writes[-1])


@pytest.fixture
def keys(storage: RunStorage) -> Counted:
    return Counted(storage.system)


@pytest.fixture
def service(keys: Counted) -> ApiKeyService:
    return ApiKeyService(keys)


@pytest.fixture
def ring(keys: Counted) -> ApiKeyVerifier:
    return ApiKeyVerifier(keys)


async def made(service: ApiKeyService, *organizations: UUID, **request: Any) -> IssuedKey:
    return await service.create(LOCAL, KeyRequest(frozenset(organizations or {HARBOUR}), **request))


async def refused(ring: ApiKeyVerifier, text: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await ring.principal(text)
    return caught.value.code


async def test_a_key_is_its_organizations_member(service: ApiKeyService, ring: ApiKeyVerifier) -> None:
    key = await made(service, HARBOUR, MEADOW, name="bot")
    assert await ring.principal(key.text.text) == Principal(
        f"key:{key.text.prefix}", frozenset({HARBOUR, MEADOW}), kind=Kind.SERVICE
    )


async def test_a_key_acts_as_it_was_told_and_within_its_scopes(service: ApiKeyService, ring: ApiKeyVerifier) -> None:
    key = await made(service, scopes=("agents:register",), identity="robot 7", kind="instance")
    assert await ring.principal(key.text.text) == Principal(
        "robot 7", frozenset({HARBOUR}), frozenset({"agents:register"}), Kind.INSTANCE, limited=True
    )


async def test_the_secret_is_nowhere_in_the_database(service: ApiKeyService, storage: RunStorage) -> None:
    key = await made(service)
    row = str(await storage.admin.fetchrow("select k.*, k::text as whole from agenthall.api_keys k"))
    secret = key.text.text.rsplit("_", 1)[1]
    assert key.text.prefix in row
    assert secret not in row and secret[:20] not in row and secret.encode().hex() not in row


async def test_nobody_who_answers_requests_as_somebody_may_read_keys(
    service: ApiKeyService, storage: RunStorage
) -> None:
    await made(service)
    for statement in ("select prefix from agenthall.api_keys", "update agenthall.api_keys set revoked_at = null"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await storage.app.execute(statement)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await storage.system.execute("delete from agenthall.api_keys")


async def test_what_no_key_can_be_costs_no_query_and_what_is_unknown_costs_one(
    ring: ApiKeyVerifier, keys: Counted
) -> None:
    for text in ("", "ahk_", "ahk_aaaaaaaaaa_" + "0" * 49, "lsv2_something", "x" * 10_000, "ahk_\x00"):
        assert await refused(ring, text) == "key_invalid"
    assert keys.asked == []
    stranger = mint()
    for _ in range(5):
        assert await refused(ring, stranger.text) == "key_invalid"
    assert keys.asked == [stranger.prefix]


async def test_a_wrong_secret_under_a_right_prefix_is_invalid_and_asks_nothing_more(
    service: ApiKeyService, ring: ApiKeyVerifier, keys: Counted
) -> None:
    key = await made(service)
    for letter in "0aZ":
        assert await refused(ring, forged(key.text.prefix, letter)) == "key_invalid"
    assert (await ring.principal(key.text.text)).identity == f"key:{key.text.prefix}"
    assert keys.asked == [key.text.prefix]


def forged(prefix: str, letter: str) -> str:
    """A key that could be one: its checksum is right."""
    body = f"ahk_{prefix}_{letter * 43}"
    return body + _checksum(body)


async def test_only_so_many_prefixes_are_remembered(keys: Counted) -> None:
    ring = ApiKeyVerifier(keys, max_size=5)
    await asyncio.gather(*(refused(ring, mint().text) for _ in range(20)))
    assert len(ring) == 5


async def test_a_revoked_key_is_refused_when_it_is_forgotten_or_its_time_is_up(
    service: ApiKeyService, keys: Counted
) -> None:
    key = await made(service)
    told, late = ApiKeyVerifier(keys, seconds=3600), ApiKeyVerifier(keys, seconds=0.3)
    for ring in (told, late):
        await ring.principal(key.text.text)
    first = await service.revoke(LOCAL, key.text.prefix)
    told.forget(key.text.prefix)
    assert await refused(told, key.text.text) == "key_revoked"

    async def is_refused() -> bool:
        try:
            await late.principal(key.text.text)
        except Unauthenticated as error:
            return error.code == "key_revoked"
        return False

    await until(is_refused)
    again = await service.revoke(LOCAL, key.text.text)
    assert again.revoked_at == first.revoked_at and again.status == "revoked"


async def test_a_revocation_is_told_to_who_listens(service: ApiKeyService, storage: RunStorage) -> None:
    key, heard = await made(service), asyncio.Queue[str]()
    listener = await asyncpg.connect(storage.url)
    await listener.add_listener("agenthall_keys", lambda *said: heard.put_nowait(str(said[-1])))
    await service.revoke(LOCAL, key.text.prefix)
    async with asyncio.timeout(DEADLINE):
        assert await heard.get() == key.text.prefix
    await listener.close()


async def test_a_key_expires_to_the_moment_though_it_is_remembered(service: ApiKeyService, keys: Counted) -> None:
    key, ring = await made(service, lifetime=timedelta(seconds=1)), ApiKeyVerifier(keys, seconds=3600)
    await ring.principal(key.text.text)
    assert key.key.expires_at is not None and key.key.expires_at - key.key.created_at == timedelta(seconds=1)

    async def is_expired() -> bool:
        try:
            await ring.principal(key.text.text)
        except Unauthenticated as error:
            return error.code == "key_expired"
        return False

    await until(is_expired)
    assert keys.asked == [key.text.prefix]

    async def is_listed_as_expired() -> bool:
        (listed,), _ = await service.search(LOCAL, None, limit=10, offset=0)
        return listed.status == "expired"

    await until(is_listed_as_expired)


async def test_a_use_is_written_once_a_minute_and_only_of_who_has_the_key(
    service: ApiKeyService, keys: Counted, storage: RunStorage
) -> None:
    key = await made(service)

    async def last_used() -> Any:
        return await storage.admin.fetchval("select last_used_at from agenthall.api_keys")

    assert await refused(ApiKeyVerifier(keys), forged(key.text.prefix, "a")) == "key_invalid"
    assert await last_used() is None
    first = ApiKeyVerifier(keys)
    await asyncio.gather(*(first.principal(key.text.text) for _ in range(5)))
    written = await until(last_used)
    for ring in (first, ApiKeyVerifier(keys)):
        await ring.principal(key.text.text)
        await ring.stop()
    assert await last_used() == written
    await storage.admin.execute("update agenthall.api_keys set last_used_at = now() - interval '61 seconds'")
    later = ApiKeyVerifier(keys)
    await later.principal(key.text.text)
    await later.stop()
    assert await last_used() >= written


async def test_uses_of_many_keys_are_one_statement_that_no_request_waits_for(
    service: ApiKeyService, keys: Counted, storage: RunStorage
) -> None:
    """The costs of 100 requests with 20 keys: 20 lookups, and one write."""
    texts = [(await made(service)).text.text for _ in range(20)]
    ring = ApiKeyVerifier(keys)
    await asyncio.gather(*(ring.principal(text) for text in texts * 5))
    assert (len(keys.asked), keys.writes) == (20, [])
    await ring.stop()
    assert [len(each) for each in keys.writes] == [20]
    assert await storage.admin.fetchval("select count(last_used_at) from agenthall.api_keys") == 20


async def test_the_cost_of_writing_uses_does_not_grow_with_the_table(storage: RunStorage) -> None:
    async def cost() -> int:
        await storage.admin.execute("vacuum analyze agenthall.api_keys")
        prefixes = await storage.admin.fetch("select prefix from agenthall.api_keys order by prefix limit 20")
        names = "{" + ",".join(row["prefix"] for row in prefixes) + "}"
        async with storage.system.acquire() as connection:
            return await touched(connection, *load("api_keys")["touch"].bind(prefixes=names))

    await fill(storage.admin, _FILL, HARBOUR, 1, FEW)
    few = await cost()
    await fill(storage.admin, _FILL, HARBOUR, FEW + 1, MANY)
    assert await cost() <= 2 * few


async def test_a_use_that_cannot_be_written_is_skipped(service: ApiKeyService, keys: Counted) -> None:
    text = (await made(service)).text.text
    keys.is_down = True
    ring = ApiKeyVerifier(keys)
    assert await ring.principal(text)
    await ring.stop()
    assert keys.writes == []


async def test_a_rotated_key_is_shown_as_expiring_to_who_has_the_old_secret(
    service: ApiKeyService, ring: ApiKeyVerifier
) -> None:
    old = await made(service)
    new = await service.rotate(LOCAL, old.text.prefix, timedelta(hours=1))
    assert (await ring.principal(new.text.text)).expires_at is None
    assert (await ring.principal(old.text.text)).expires_at == new.key.previous_until
    assert await refused(ring, forged(old.text.prefix, "a")) == "key_invalid"


async def test_the_old_secret_ends_to_the_moment_though_it_is_remembered(service: ApiKeyService, keys: Counted) -> None:
    old = await made(service)
    await service.rotate(LOCAL, old.text.prefix, timedelta(seconds=1))
    ring = ApiKeyVerifier(keys, seconds=3600)
    await ring.principal(old.text.text)

    async def is_over() -> bool:
        try:
            await ring.principal(old.text.text)
        except Unauthenticated as error:
            return error.code == "key_rotated"
        return False

    await until(is_over)
    assert keys.asked == [old.text.prefix]


async def test_a_rotation_is_told_to_who_listens(service: ApiKeyService, storage: RunStorage) -> None:
    key, heard = await made(service), asyncio.Queue[str]()
    listener = await asyncpg.connect(storage.url)
    await listener.add_listener("agenthall_keys", lambda *said: heard.put_nowait(str(said[-1])))
    await service.rotate(LOCAL, key.text.prefix)
    async with asyncio.timeout(DEADLINE):
        assert await heard.get() == key.text.prefix
    await listener.close()


@pytest.mark.parametrize("ends", ["revoked_at = now()", "expires_at = now(), created_at = now() - interval '1 second'"])
async def test_only_an_active_key_is_rotated(service: ApiKeyService, storage: RunStorage, ends: str) -> None:
    key = await made(service)
    await storage.admin.execute(f"update agenthall.api_keys set {ends}")
    with pytest.raises(Conflict) as caught:
        await service.rotate(LOCAL, key.text.prefix)
    assert caught.value.code == "key_not_active"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (KeyRequest(frozenset()), "organizations"),
        (KeyRequest(frozenset(), scopes=("runs", "metrics")), "organizations"),
        (KeyRequest(frozenset({HARBOUR}), scopes=("run",)), "scopes"),
        (KeyRequest(frozenset({HARBOUR}), scopes=()), "scopes"),
        (KeyRequest(frozenset({HARBOUR}), lifetime=timedelta(0)), "expires"),
        (KeyRequest(frozenset({HARBOUR}), lifetime=timedelta(days=4000)), "expires"),
        (KeyRequest(frozenset({HARBOUR}), name="a\nb"), "name"),
        (KeyRequest(frozenset({HARBOUR}), name="x" * 201), "name"),
        (KeyRequest(frozenset({HARBOUR}), identity="system"), "identity"),
        (KeyRequest(frozenset({HARBOUR}), identity="local"), "identity"),
        (KeyRequest(frozenset({HARBOUR}), identity="key:another"), "identity"),
        (KeyRequest(frozenset({HARBOUR}), identity=" "), "identity"),
        (KeyRequest(frozenset({HARBOUR}), identity="x" * 256), "identity"),
        (KeyRequest(frozenset({HARBOUR}), kind="user"), "kind"),
    ],
)
async def test_a_key_that_makes_no_sense_is_refused_by_field(
    service: ApiKeyService, request_: KeyRequest, field: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await service.create(LOCAL, request_)
    assert caught.value.field == field


async def test_keys_are_listed_by_page_and_organization(service: ApiKeyService) -> None:
    first, second = await made(service, HARBOUR), await made(service, HARBOUR, MEADOW)
    watcher = await service.create(LOCAL, KeyRequest(frozenset(), scopes=("metrics",)))

    async def listed(organization: UUID | None, **page: int) -> list[str]:
        found, _ = await service.search(LOCAL, organization, **({"limit": 10, "offset": 0} | page))
        return [key.prefix for key in found]

    assert await listed(None) == [each.text.prefix for each in (watcher, second, first)]
    assert await listed(MEADOW) == [second.text.prefix]
    assert await listed(UUID(int=9)) == []
    assert await listed(None, limit=1, offset=1) == [second.text.prefix]
    assert (await service.search(LOCAL, None, limit=1, offset=0))[1] == 3


async def test_only_administrators_administer_keys(service: ApiKeyService) -> None:
    key = await made(service)
    for member in (
        Principal("ada", frozenset({HARBOUR})),
        Principal("k", frozenset({HARBOUR}), frozenset({"metrics"}), limited=True),
    ):
        with pytest.raises(Forbidden):
            await service.create(member, KeyRequest(frozenset({HARBOUR})))
        with pytest.raises(Forbidden):
            await service.search(member, HARBOUR, limit=1, offset=0)
        with pytest.raises(Forbidden):
            await service.revoke(member, key.text.prefix)
        with pytest.raises(Forbidden):
            await service.rotate(member, key.text.prefix)


@pytest.mark.parametrize("named", ["aaaaaaaaaa", "nonsense", "", "%"])
async def test_a_key_that_is_not_there_cannot_be_revoked(service: ApiKeyService, named: str) -> None:
    with pytest.raises(NotFound):
        await service.revoke(LOCAL, named)


async def test_a_bad_key_costs_one_lookup_by_index(service: ApiKeyService, storage: RunStorage) -> None:
    await storage.admin.execute(
        """insert into agenthall.api_keys (prefix, digest, name, identity, kind, organizations, created_by)
           select translate(lpad(to_hex(n), 10, 'x'), '0189', 'wxyz'), sha256(n::text::bytea), '', 'a', 'service', array[$1::uuid], 'a'
             from generate_series(4096, 9096) n on conflict do nothing""",
        HARBOUR,
    )
    async with storage.system.acquire() as connection, connection.transaction():
        before = await connection.fetchval(_SCANS)
        await connection.fetchrow(*load("api_keys")["find"].bind(prefix="zzzzzzzzzz"))
        assert await connection.fetchval(_SCANS) == before


_FILL = """
insert into agenthall.api_keys (prefix, digest, name, identity, kind, organizations, created_by)
select translate(lpad(to_hex(n), 10, 'x'), '0189', 'wxyz'), sha256(n::text::bytea), '', 'a', 'service', array[$1::uuid], 'a'
  from generate_series($2::int, $3::int) n on conflict do nothing"""

_SCANS = "select pg_stat_get_xact_numscans('agenthall.api_keys'::regclass)"
