from __future__ import annotations

import base64
import hmac
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from remote.jwks_server import AUDIENCE, JwksServer, SigningPair, jwks_server

from robyn_server.core.access.api_key import mint
from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.errors import (
    AgenthallError,
    BadRequest,
    Forbidden,
    Invalid,
    Misconfigured,
    Unauthenticated,
    Unavailable,
)
from robyn_server.identity.authenticator import Authenticator, extract_credential
from robyn_server.settings import load_settings
from robyn_server.web.edge.access.authentication import authenticate

SECRET = "s" * 32
ORGANIZATION = UUID("2cb45e03-0397-45a6-bc8e-275add538ca8")
ANOTHER = UUID("0787bd4c-ed20-41a7-874f-79335d107700")


async def principal(headers: Mapping[str, str], **settings: Any) -> Principal:
    configured = load_settings(**({"auth_mode": "jwt", "jwt_secret": SECRET} | settings))
    made = authenticate(Authenticator(configured))(headers)
    return made if isinstance(made, Principal) else await made


def bearer(scheme: str = "Bearer", key: str = SECRET, algorithm: str = "HS256", **claims: Any) -> dict[str, str]:
    payload = {"sub": "ada", "exp": time.time() + 60} | claims
    payload = {name: value for name, value in payload.items() if value is not None}
    return {"authorization": f"{scheme} {jwt.encode(payload, key, algorithm)}"}


async def test_without_authentication_everybody_is_local() -> None:
    for headers in ({}, {"x-api-key": "anything"}, {"authorization": "Bearer anything"}):
        assert await principal(headers, auth_mode="none") is LOCAL
    acting = await principal({"x-organization-id": str(ORGANIZATION)}, auth_mode="none")
    assert acting.acting_for == ORGANIZATION


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_token_names_the_user_organizations_and_permissions(scheme: str) -> None:
    made = await principal(bearer(scheme, organizations=[str(ORGANIZATION)], permissions=["read", "write"]))
    assert made == Principal("ada", frozenset({ORGANIZATION}), frozenset({"read", "write"}))


async def test_claims_are_found_along_their_dots_or_under_their_literal_name() -> None:
    names = {"jwt_organizations_claim": "app_metadata.orgs", "jwt_permissions_claim": "https://a.example/scope"}
    claims = {"app_metadata": {"orgs": [str(ORGANIZATION)]}, "https://a.example/scope": "read admin"}
    made = await principal(bearer(**claims), **names)
    assert made.organizations == frozenset({ORGANIZATION})
    assert made.is_admin


async def test_user_metadata_gives_no_rights() -> None:
    made = await principal(bearer(user_metadata={"organizations": [str(ORGANIZATION)], "permissions": ["admin"]}))
    assert made == Principal("ada")
    with pytest.raises(Misconfigured):
        await principal({}, jwt_organizations_claim="user_metadata.organizations")
    with pytest.raises(Misconfigured):
        await principal({}, jwt_permissions_claim="user_metadata.permissions")


@pytest.mark.parametrize("value", ["x", ["x"], [1], {"a": 1}, 5])
async def test_malformed_organizations_are_refused_and_the_claim_is_named(value: Any) -> None:
    with pytest.raises(Unauthenticated, match="'organizations'"):
        await principal(bearer(organizations=value))


@pytest.mark.parametrize("value", [[1], {"a": 1}, 5])
async def test_malformed_permissions_are_refused(value: Any) -> None:
    with pytest.raises(Unauthenticated, match="'permissions'"):
        await principal(bearer(permissions=value))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Basic abc"},
        {"authorization": "Bearer not.a.token"},
        bearer(exp=None),
        bearer(exp=time.time() - 60),
        bearer(nbf=time.time() + 86400),
        bearer(sub=None),
        bearer(sub=""),
        bearer(sub="system"),
        bearer(sub="local"),
        bearer(sub="key:abcdefghij"),
        {"authorization": f"Bearer {'x' * 20_000}"},
        bearer(key="t" * 32),
        bearer(key=SECRET * 2, algorithm="HS512"),
    ],
    ids=lambda headers: headers.get("authorization", "none")[:12],
)
async def test_a_token_that_is_missing_or_wrong_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        await principal(headers)


async def test_an_unsigned_token_is_refused() -> None:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()

    for algorithm in ("none", "None", "RS256"):
        token = f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part({'sub': 'ada', 'exp': time.time() + 60})}."
        with pytest.raises(Unauthenticated):
            await principal({"authorization": f"Bearer {token}"})


async def test_audience_and_issuer_are_checked_where_configured() -> None:
    configured = {"jwt_audience": "agents", "jwt_issuer": "https://id.example"}
    assert (await principal(bearer(aud=["agents", "x"], iss="https://id.example"), **configured)).identity == "ada"
    for wrong in ({}, {"aud": "agents"}, {"aud": "other", "iss": "https://id.example"}, {"aud": "agents", "iss": "x"}):
        with pytest.raises(Unauthenticated):
            await principal(bearer(**wrong), **configured)
    assert (await principal(bearer(aud="anything"))).identity == "ada"


@pytest.mark.parametrize(
    ("organization", "error"),
    [("nope", Invalid), ("", Invalid), (str(ANOTHER), Forbidden), (f" {str(ORGANIZATION).upper()} ", None)],
)
async def test_the_organization_header_names_one_of_the_users_own(
    organization: str, error: type[AgenthallError] | None
) -> None:
    headers = bearer(organizations=[str(ORGANIZATION)]) | {"x-organization-id": organization}
    if error is not None:
        with pytest.raises(error, match=r"X-Organization-Id|not a member"):
            await principal(headers)
    else:
        assert (await principal(headers)).acting_for == ORGANIZATION


@pytest.mark.parametrize("subject", ["x" * 256, "a\nb", "\x00"])
async def test_a_subject_that_cannot_be_stored_is_refused(subject: str) -> None:
    with pytest.raises(Unauthenticated, match="sub"):
        await principal(bearer(sub=subject))


KEY, OTHER = mint().text, mint().text


@pytest.mark.parametrize(
    ("headers", "credential"),
    [
        ({}, None),
        ({"x-api-key": KEY}, KEY),
        ({"x-api-key": f" {KEY} "}, KEY),
        ({"authorization": f"Bearer {KEY}"}, KEY),
        ({"authorization": f"bearer {KEY}", "x-api-key": KEY}, KEY),
        ({"authorization": "Basic YTpi", "x-api-key": KEY}, KEY),
        ({"authorization": "Bearer token"}, "token"),
        ({"authorization": "Bearer token", "x-api-key": "lsv2_pt_of_somebody_else"}, "token"),
        ({"authorization": f"Bearer {KEY}", "x-api-key": "lsv2_pt_of_somebody_else"}, KEY),
        ({"authorization": "Bearer", "x-api-key": ""}, None),
    ],
    ids=(
        "none",
        "key",
        "spaces",
        "bearer",
        "lower case",
        "basic",
        "token",
        "foreign key",
        "key and foreign key",
        "empty",
    ),
)
async def test_a_credential_is_found_in_either_header(headers: dict[str, str], credential: str | None) -> None:
    assert extract_credential(headers) == credential


@pytest.mark.parametrize("bearer_of", [OTHER, "token"], ids=["another key", "a token"])
async def test_two_different_credentials_are_refused(bearer_of: str) -> None:
    with pytest.raises(BadRequest) as caught:
        extract_credential({"authorization": f"Bearer {bearer_of}", "x-api-key": KEY})
    assert caught.value.code == "credentials_contradict"


async def test_a_key_of_somebody_elses_make_is_refused_where_it_stands_alone() -> None:
    with pytest.raises(Unauthenticated) as caught:
        extract_credential({"x-api-key": "lsv2_pt_of_somebody_else"})
    assert caught.value.code == "key_invalid"


@pytest.mark.parametrize(
    ("mode", "headers", "code"),
    [
        ("keys", {}, "key_missing"),
        ("keys", {"authorization": "Bearer a.b.c"}, "key_invalid"),
        ("jwt", {}, "token_missing"),
        ("jwt", {"authorization": "Bearer a.b.c"}, "token_invalid"),
        ("jwt", bearer(exp=time.time() - 5), "token_expired"),
    ],
)
async def test_each_mode_says_what_it_asks_for(mode: str, headers: dict[str, str], code: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await principal(headers, auth_mode=mode)
    assert caught.value.code == code


async def test_before_the_database_is_there_nobody_is_told_that_a_key_is_wrong() -> None:
    with pytest.raises(Unavailable):
        await principal({"x-api-key": KEY}, auth_mode="keys")


PAIRS = {name: SigningPair(name, f"the {name} key") for name in ("RS256", "ES256", "EdDSA")}


@pytest.fixture(scope="module")
async def issuer() -> AsyncIterator[JwksServer]:
    async with jwks_server(*PAIRS.values()) as server:
        yield server


async def signed(issuer: JwksServer, token: str, **settings: Any) -> Principal:
    configured = {"jwks_url": issuer.url, "jwt_secret": None, "jwt_audience": AUDIENCE} | settings
    return await principal({"authorization": f"Bearer {token}"}, **configured)


@pytest.mark.parametrize("algorithm", PAIRS)
async def test_a_token_is_verified_with_the_key_it_names(issuer: JwksServer, algorithm: str) -> None:
    made = await signed(issuer, PAIRS[algorithm].token(organizations=[str(ORGANIZATION)]))
    assert made == Principal("ada", frozenset({ORGANIZATION}))
    with pytest.raises(Unauthenticated):
        await signed(issuer, SigningPair(algorithm, f"the {algorithm} key").token())
    others = next(name for name in PAIRS if name != algorithm)
    with pytest.raises(Unauthenticated):
        await signed(issuer, PAIRS[algorithm].token(kid=PAIRS[others].kid))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": time.time() - 5},
        {"nbf": time.time() + 86400},
        {"aud": "others"},
        {"aud": None},
        {"iss": "https://else.example"},
        {"iss": None},
        {"sub": "system"},
    ],
)
async def test_claims_are_checked_whatever_signed_them(issuer: JwksServer, claims: dict[str, Any]) -> None:
    given = {name: value for name, value in ({"iss": "https://id.example"} | claims).items() if value is not None}
    token = PAIRS["ES256"].token(**given)
    if claims == {"aud": None}:
        token = jwt.encode({"sub": "ada", "exp": time.time() + 60}, PAIRS["ES256"].private, "ES256")
    with pytest.raises(Unauthenticated):
        await signed(issuer, token, jwt_issuer="https://id.example")


@pytest.mark.parametrize("secret", [None, SECRET])
async def test_a_public_key_is_no_secret(issuer: JwksServer, secret: str | None) -> None:
    """Algorithm confusion: HS256, keyed with what everybody can read (RFC 8725, section 2.1)."""
    public = PAIRS["RS256"].private.public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    for text in (public.public_bytes(serialization.Encoding.PEM, form), orjson.dumps(PAIRS["RS256"].jwk)):
        for kid in (PAIRS["RS256"].kid, None):
            with pytest.raises(Unauthenticated):
                await signed(issuer, _hs256(text, kid), jwt_secret=secret)


def _hs256(key: bytes, kid: str | None) -> str:
    """PyJWT refuses to sign with a PEM."""

    def part(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    header = {"alg": "HS256", "typ": "JWT"} | ({"kid": kid} if kid else {})
    claims = {"sub": "root", "exp": time.time() + 60, "aud": AUDIENCE, "permissions": ["admin"]}
    body = part(orjson.dumps(header)) + b"." + part(orjson.dumps(claims))
    return (body + b"." + part(hmac.digest(key, body, "sha256"))).decode()


async def test_a_secret_verifies_no_token_where_only_a_key_set_is_configured(issuer: JwksServer) -> None:
    token = bearer(aud=AUDIENCE)["authorization"].split()[1]
    with pytest.raises(Unauthenticated):
        await signed(issuer, token)
    assert (await signed(issuer, token, jwt_secret=SECRET)).identity == "ada"
    assert (await signed(issuer, PAIRS["RS256"].token(), jwt_secret=SECRET)).identity == "ada"


async def test_a_key_set_comes_over_https_and_is_for_us() -> None:
    for wrong in (
        {"jwks_url": "http://id.example/jwks", "jwt_audience": "a"},
        {"jwks_url": "ftp://127.0.0.1/jwks", "jwt_audience": "a"},
        {"jwks_url": "https://id.example/jwks"},
    ):
        with pytest.raises(Misconfigured, match="AUTH_JWKS_URL"):
            load_settings(auth_mode="jwt", **wrong)
    assert load_settings(auth_mode="jwt", jwks_url="https://id.example/jwks", jwt_issuer="https://id.example")


async def test_what_is_for_tokens_is_not_dropped_where_there_are_none() -> None:
    for mode in ("none", "keys"):
        for given in ({"jwks_url": "https://id.example/jwks"}, {"membership_query": "select $1::uuid"}):
            with pytest.raises(Misconfigured, match="AUTH_MODE=jwt"):
                load_settings(auth_mode=mode, **given)


async def test_only_who_asks_for_credentials_leaves_loopback() -> None:
    assert load_settings(auth_mode="keys", host="0.0.0.0").host == "0.0.0.0"
    with pytest.raises(Misconfigured, match="AUTH_MODE=keys or jwt"):
        load_settings(auth_mode="none", host="0.0.0.0")
