"""Requests to token endpoints (RFC 6749, section 5), with bounds, and errors without secrets."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

if TYPE_CHECKING:
    import httpx

MAX_BYTES = 65_536
MAX_TOKEN = 16_384
MAX_SECONDS = 30.0
"""For a whole request. The lease of a refresh is longer."""
DEFAULT_SECONDS = 300.0
"""Lifetime of a token whose answer names none."""
_ERROR = re.compile(r"[a-z_]{1,64}")
_OK = 200


class TokenRefused(Exception):
    """`str(error)` ends a sentence for people. `code`: the error of RFC 6749, section 5.2, if the answer has one."""

    def __init__(self, why: str, code: str | None = None) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """How this server names itself at a token endpoint. Without a secret it is a public client."""

    client_id: str | None
    secret: str | None = field(default=None, repr=False)
    in_body: bool = False
    """client_secret_post instead of client_secret_basic."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    access_token: str = field(repr=False)
    seconds: float
    refresh_token: str | None = field(default=None, repr=False)
    scope: str | None = None


async def request_token(
    client: httpx.AsyncClient, url: str, form: Mapping[str, str], secret: ClientSecret
) -> IssuedToken:
    """Raises TokenRefused."""
    fields, headers = with_client(form, secret)
    status, answer = await fetch_json(client, "POST", url, data=fields, headers=headers)
    if status != _OK:
        code = answer.get("error")
        shown = code if isinstance(code, str) and _ERROR.fullmatch(code) else None
        raise TokenRefused(f"the token endpoint answered {status}{f' ({shown})' if shown else ''}", shown)
    return _issued(answer)


def with_client(form: Mapping[str, str], client: ClientSecret) -> tuple[dict[str, str], dict[str, str]]:
    """The fields and headers of a request of the client (RFC 6749, section 2.3.1)."""
    fields, headers = {**form}, {"accept": "application/json"}
    if client.client_id is not None and client.secret is not None and not client.in_body:
        headers["authorization"] = _basic(client.client_id, client.secret)
    elif client.client_id is not None:
        fields["client_id"] = client.client_id
        if client.secret is not None:
            fields["client_secret"] = client.secret
    return fields, headers


async def fetch_json(client: httpx.AsyncClient, method: str, url: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """The status and the JSON object of an answer; an empty object for another body. Raises TokenRefused."""
    import httpx

    try:
        async with asyncio.timeout(MAX_SECONDS), client.stream(method, url, **options) as response:
            status, body = response.status_code, await _body(response)
    except TimeoutError:
        raise TokenRefused("an authorization server does not answer in time") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # its text may repeat the request
        raise TokenRefused(f"an authorization server cannot be reached ({type(error).__name__})") from None
    try:
        answer = orjson.loads(body)
    except ValueError:
        answer = None
    return status, answer if isinstance(answer, dict) else {}


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BYTES:
            raise TokenRefused("an authorization server sent too long an answer")
    return bytes(body)


def _issued(answer: Mapping[str, Any]) -> IssuedToken:
    token, kind = answer.get("access_token"), answer.get("token_type")
    if not isinstance(token, str) or not 0 < len(token) <= MAX_TOKEN or not (token.isascii() and token.isprintable()):
        raise TokenRefused("the token endpoint answered without a token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise TokenRefused("the token endpoint answered with a token of another type than Bearer")
    seconds, refresh, scope = answer.get("expires_in"), answer.get("refresh_token"), answer.get("scope")
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0
    return IssuedToken(
        token,
        float(seconds) if is_number else DEFAULT_SECONDS,  # type: ignore[arg-type]
        refresh if isinstance(refresh, str) else None,
        scope if isinstance(scope, str) else None,
    )


def _basic(client_id: str, secret: str) -> str:
    """RFC 6749, section 2.3.1: both are form-encoded first."""
    text = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return f"Basic {b64encode(text.encode()).decode()}"
