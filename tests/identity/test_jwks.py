"""The key set of an issuer: which keys are used, and how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from remote.jwks_server import JwksServer, SigningPair, jwks_server
from servers.live_server import until

from robyn_server.core.errors import Unauthenticated, Unavailable
from robyn_server.identity.jwks import (
    AGAIN_SECONDS,
    FRESH_SECONDS,
    MAX_BYTES,
    RETRY_SECONDS,
    STALE_SECONDS,
    Jwks,
    JwksError,
    fetch_jwks,
    parse_jwks,
)

FIRST, SECOND = SigningPair("ES256", "first"), SigningPair("ES256", "second")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def issuer() -> AsyncIterator[JwksServer]:
    async with jwks_server(FIRST) as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def jwks(issuer: JwksServer, clock: Clock) -> AsyncIterator[Jwks]:
    made = Jwks(issuer.url, clock=clock)
    yield made
    await made.stop()


async def test_a_set_is_fetched_once_however_many_ask(issuer: JwksServer, jwks: Jwks) -> None:
    keys = await asyncio.gather(*(jwks.key("first", "ES256") for _ in range(20)))
    assert len({id(key) for key in keys}) == 1
    assert issuer.asked == 1


async def test_an_unknown_key_id_asks_again_but_not_all_the_time(issuer: JwksServer, jwks: Jwks, clock: Clock) -> None:
    await jwks.key("first", "ES256")
    issuer.publish(FIRST, SECOND)
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await jwks.key("second", "ES256")
    assert issuer.asked == 1
    clock.now += AGAIN_SECONDS
    assert await jwks.key("second", "ES256")
    for number in range(5):
        with pytest.raises(Unauthenticated):
            await jwks.key(f"made-up-{number}", "ES256")
    assert issuer.asked == 2


async def test_an_old_set_serves_while_a_new_one_is_fetched(issuer: JwksServer, jwks: Jwks, clock: Clock) -> None:
    await jwks.key("first", "ES256")
    issuer.publish(SECOND)
    clock.now += FRESH_SECONDS
    assert await jwks.key("first", "ES256")
    await until(lambda: issuer.asked == 2)
    await until(lambda: jwks._fetching is None)
    with pytest.raises(Unauthenticated):
        await jwks.key("first", "ES256")


async def test_while_the_issuer_is_away_its_keys_serve_for_an_hour_and_no_longer(
    issuer: JwksServer, jwks: Jwks, clock: Clock
) -> None:
    await jwks.key("first", "ES256")
    issuer.status = 503
    clock.now += STALE_SECONDS - 1
    assert await jwks.key("first", "ES256")
    await until(lambda: jwks._failed)
    with pytest.raises(Unavailable):
        await jwks.key("unheard-of", "ES256")  # it may be a new one: nobody can tell
    clock.now += RETRY_SECONDS
    with pytest.raises(Unavailable) as caught:
        await jwks.key("first", "ES256")
    assert caught.value.code == "jwks_unavailable"
    asked = issuer.asked
    with pytest.raises(Unavailable):
        await jwks.key("first", "ES256")
    assert issuer.asked == asked, "an issuer in trouble is not asked for every request"
    issuer.status = 200
    clock.now += RETRY_SECONDS
    assert await jwks.key("first", "ES256")


async def test_a_token_without_a_key_id_is_only_of_the_only_key(issuer: JwksServer, jwks: Jwks, clock: Clock) -> None:
    assert await jwks.key(None, "ES256")
    issuer.publish(FIRST, SECOND)
    clock.now += AGAIN_SECONDS
    with pytest.raises(Unauthenticated):
        await jwks.key("second-to-none", "ES256")
    with pytest.raises(Unauthenticated):
        await jwks.key(None, "ES256")


def test_symmetric_keys_and_keys_for_other_uses_are_passed_over() -> None:
    symmetric = b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "HS256"}]}'
    with pytest.raises(JwksError, match="no key"):
        parse_jwks(symmetric)
    others = [{**FIRST.jwk, "use": "enc"}, {"kty": "RSA"}, {"kty": "EC", "crv": "P-521"}, "x", {**FIRST.jwk, "kid": 5}]
    server = JwksServer()
    server.publish(SECOND, also=tuple(others))  # type: ignore[arg-type]
    assert [key.kid for key in parse_jwks(server.body)] == ["second"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"keys": {}}', b"{", b"null", b"\xff"])
def test_what_is_no_key_set_is_refused(body: bytes) -> None:
    with pytest.raises(JwksError, match="not a JSON Web Key Set"):
        parse_jwks(body)


async def test_a_body_without_end_is_cut(issuer: JwksServer) -> None:
    issuer.body = b" " * (MAX_BYTES + 1)
    with pytest.raises(JwksError, match="larger"):
        await fetch_jwks(issuer.url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://[::1", "nonsense"])
async def test_an_issuer_that_cannot_be_reached_is_said_to_be(url: str) -> None:
    with pytest.raises(JwksError):
        await fetch_jwks(url)


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "[::ffff:169.254.169.254]", "0.0.0.0", "[fe80::1]"])
async def test_an_issuer_is_never_at_an_address_that_is_always_refused(issuer: JwksServer, host: str) -> None:
    port = issuer.url.rpartition(":")[2]
    with pytest.raises(JwksError, match="AGENTHALL_EGRESS"):
        await fetch_jwks(f"http://{host}:{port}")
    assert issuer.asked == 0


async def test_a_redirect_of_the_issuer_is_not_followed(issuer: JwksServer) -> None:
    issuer.status, issuer.location = 302, f"{issuer.url}/elsewhere"
    with pytest.raises(JwksError, match="302"):
        await fetch_jwks(issuer.url)
    assert issuer.asked == 1
