"""Requests to token endpoints: what counts as a token, and what an error says."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import httpx
import jwt
import pytest

from robyn_server.core.mcp_credentials import CredentialEntry, CredentialKind
from robyn_server.credentials.audiences import audiences_of, is_expired
from robyn_server.credentials.exchange import TokenExchange
from robyn_server.credentials.token_requests import MAX_BYTES, ClientSecret, IssuedToken, TokenRefused, request_token

URL = "https://login.example/token"
SECRET = "unmistakable-secret"
KEY = "a key for tests that is long enough for it"
GOOD = {"access_token": "t", "token_type": "bearer", "expires_in": 60}


async def ask(answer: Callable[[httpx.Request], httpx.Response], secret: ClientSecret | None = None) -> IssuedToken:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        form = {"grant_type": "x", "subject_token": SECRET}
        return await request_token(client, URL, form, secret or ClientSecret("us", SECRET))


def says(status: int = 200, **members: Any) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _request: httpx.Response(status, json=members)


async def test_a_bearer_token_is_taken_with_its_lifetime():
    issued = await ask(says(**GOOD))
    assert (issued.access_token, issued.seconds) == ("t", 60.0)
    assert (await ask(says(access_token="t", token_type="Bearer"))).seconds == 300.0


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({}, "without a token"),
        ({**GOOD, "access_token": ""}, "without a token"),
        ({**GOOD, "access_token": "two\r\nlines"}, "without a token"),
        ({**GOOD, "access_token": "x" * 20_000}, "without a token"),
        ({**GOOD, "access_token": 7}, "without a token"),
        ({**GOOD, "token_type": "N_A"}, "another type"),
        ({"access_token": "t"}, "another type"),
    ],
)
async def test_what_is_no_bearer_token_is_refused(members: dict[str, Any], why: str):
    with pytest.raises(TokenRefused, match=why):
        await ask(says(**members))


@pytest.mark.parametrize(
    ("error", "shown"),
    [("invalid_grant", " (invalid_grant)"), (f"{SECRET}\n", ""), ("x" * 100, ""), (None, ""), ({"a": 1}, "")],
)
async def test_an_error_names_its_code_and_repeats_nothing_else(error: Any, shown: str):
    with pytest.raises(TokenRefused) as refused:
        await ask(says(400, error=error, error_description=f"the token {SECRET} is not good"))
    assert str(refused.value) == f"the token endpoint answered 400{shown}"


async def test_an_endless_answer_is_not_read_to_its_end():
    async def endless() -> Any:
        while True:
            yield b"x" * 1024

    with pytest.raises(TokenRefused, match="too long"):
        await ask(lambda _request: httpx.Response(200, content=endless()))
    assert MAX_BYTES < 1_000_000


async def test_a_redirect_is_not_followed():
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(307, headers={"location": "https://attacker.example/"})

    with pytest.raises(TokenRefused, match="307"):
        await ask(answer)
    assert asked == [URL]


async def test_a_connection_that_fails_says_nothing_of_the_request():
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"cannot send {SECRET}", request=request)

    with pytest.raises(TokenRefused) as refused:
        await ask(away)
    assert SECRET not in str(refused.value) and "ConnectError" in str(refused.value)


@pytest.mark.parametrize(
    ("client", "header", "field"),
    [
        (ClientSecret("us: %", "s:%"), f"Basic {base64.b64encode(b'us%3A%20%25:s%3A%25').decode()}", None),
        (ClientSecret("us", "s", in_body=True), None, "s"),
        (ClientSecret("us"), None, None),
        (ClientSecret(None), None, None),
    ],
)
async def test_the_client_names_itself_as_registered(client: ClientSecret, header: str | None, field: str | None):
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=GOOD)

    await ask(answer, client)
    form = parse_qs(seen[0].content.decode())
    assert seen[0].headers.get("authorization") == header
    assert form.get("client_secret", [None])[0] == field
    assert form.get("client_id", [None])[0] == (None if header else client.client_id)


async def test_a_token_is_exchanged_again_when_it_is_about_to_expire():
    now, tokens = [0.0], iter("abc")
    exchange = TokenExchange(
        lambda: httpx.AsyncClient(
            transport=httpx.MockTransport(
                lambda _: httpx.Response(200, json={**GOOD, "access_token": next(tokens), "expires_in": 100})
            )
        ),
        clock=lambda: now[0],
    )
    entry = CredentialEntry(UUID(int=1), "https://a/mcp", CredentialKind.EXCHANGE, {"token_endpoint": URL})
    assert [await exchange.token(entry, "", "ada", "t") for now[0] in (0, 69, 71)] == ["a", "a", "b"]
    assert await exchange.token(entry, "", "mia", "t") == "c", "another user"


def test_tokens_are_not_in_a_representation():
    assert SECRET not in repr([ClientSecret("us", SECRET), IssuedToken(SECRET, 1.0, SECRET)])


@pytest.mark.parametrize(
    ("aud", "found"), [("a", {"a"}), (["a", "b"], {"a", "b"}), (None, set()), (["a", 7], {"a"}), ({"a": 1}, set())]
)
def test_the_audiences_of_a_token_are_read(aud: Any, found: set[str]):
    assert audiences_of(jwt.encode({"aud": aud} if aud is not None else {}, KEY, "HS256")) == found


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "a.!!.c", "a.bnVsbA.c", "opaque"])
def test_another_text_has_no_audience_and_does_not_expire(text: str):
    assert audiences_of(text) == frozenset() and not is_expired(text)


def test_an_expired_token_is_known():
    assert is_expired(jwt.encode({"exp": 1}, KEY, "HS256")) and not is_expired(jwt.encode({"exp": 2**40}, KEY, "HS256"))
