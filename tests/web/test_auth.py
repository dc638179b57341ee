from __future__ import annotations

import base64
import time
from typing import Any
from uuid import UUID, uuid4

import jwt
import orjson
import pytest

from robyn_server.core.errors import AgenthallError, Forbidden, Invalid, Misconfigured, Unauthenticated
from robyn_server.core.principal import LOCAL, Principal
from robyn_server.settings import load_settings
from robyn_server.web.auth import authenticate

SECRET = "s" * 32
ORGANIZATION = uuid4()


def principal(headers: dict[str, str], **settings: Any) -> Principal:
    configured = load_settings(auth_mode="jwt", jwt_secret=SECRET, **settings)
    made = authenticate(configured)(headers)
    assert isinstance(made, Principal)
    return made


def bearer(scheme: str = "Bearer", key: str = SECRET, algorithm: str = "HS256", **claims: Any) -> dict[str, str]:
    payload = {"sub": "ada", "exp": time.time() + 60} | claims
    payload = {name: value for name, value in payload.items() if value is not None}
    return {"authorization": f"{scheme} {jwt.encode(payload, key, algorithm)}"}


def test_without_authentication_everybody_is_local() -> None:
    identify = authenticate(load_settings(auth_mode="none"))
    assert identify({}) is LOCAL
    acting = identify({"x-organization-id": str(ORGANIZATION)})
    assert isinstance(acting, Principal)
    assert acting.acting_for == ORGANIZATION


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_token_names_the_user_organizations_and_permissions(scheme: str) -> None:
    made = principal(bearer(scheme, organizations=[str(ORGANIZATION)], permissions=["read", "write"]))
    assert made == Principal("ada", frozenset({ORGANIZATION}), frozenset({"read", "write"}))


def test_claims_are_found_along_their_dots_or_under_their_literal_name() -> None:
    names = {"jwt_organizations_claim": "app_metadata.orgs", "jwt_permissions_claim": "https://a.example/scope"}
    claims = {"app_metadata": {"orgs": [str(ORGANIZATION)]}, "https://a.example/scope": "read admin"}
    made = principal(bearer(**claims), **names)
    assert made.organizations == frozenset({ORGANIZATION})
    assert made.is_admin


def test_user_metadata_gives_no_rights() -> None:
    made = principal(bearer(user_metadata={"organizations": [str(ORGANIZATION)], "permissions": ["admin"]}))
    assert made == Principal("ada")
    with pytest.raises(Misconfigured):
        principal({}, jwt_organizations_claim="user_metadata.organizations")
    with pytest.raises(Misconfigured):
        principal({}, jwt_permissions_claim="user_metadata.permissions")


@pytest.mark.parametrize("value", ["x", ["x"], [1], {"a": 1}, 5])
def test_malformed_organizations_are_refused_and_the_claim_is_named(value: Any) -> None:
    with pytest.raises(Unauthenticated, match="'organizations'"):
        principal(bearer(organizations=value))


@pytest.mark.parametrize("value", [[1], {"a": 1}, 5])
def test_malformed_permissions_are_refused(value: Any) -> None:
    with pytest.raises(Unauthenticated, match="'permissions'"):
        principal(bearer(permissions=value))


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
        bearer(nbf=time.time() + 60),
        bearer(sub=None),
        bearer(sub=""),
        bearer(sub="system"),
        bearer(sub="local"),
        bearer(key="t" * 32),
        bearer(key=SECRET * 2, algorithm="HS512"),
    ],
    ids=lambda headers: headers.get("authorization", "none")[:12],
)
def test_a_token_that_is_missing_or_wrong_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        principal(headers)


def test_an_unsigned_token_is_refused() -> None:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()

    for algorithm in ("none", "None", "RS256"):
        token = f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part({'sub': 'ada', 'exp': time.time() + 60})}."
        with pytest.raises(Unauthenticated):
            principal({"authorization": f"Bearer {token}"})


def test_audience_and_issuer_are_checked_where_configured() -> None:
    configured = {"jwt_audience": "agents", "jwt_issuer": "https://id.example"}
    assert principal(bearer(aud=["agents", "x"], iss="https://id.example"), **configured).identity == "ada"
    for wrong in ({}, {"aud": "agents"}, {"aud": "other", "iss": "https://id.example"}, {"aud": "agents", "iss": "x"}):
        with pytest.raises(Unauthenticated):
            principal(bearer(**wrong), **configured)
    assert principal(bearer(aud="anything")).identity == "ada"


@pytest.mark.parametrize(
    ("organization", "error"),
    [("nope", Invalid), (str(uuid4()), Forbidden), (f" {str(ORGANIZATION).upper()} ", None), ("", None)],
)
def test_the_organization_header_names_one_of_the_users_own(
    organization: str, error: type[AgenthallError] | None
) -> None:
    headers = bearer(organizations=[str(ORGANIZATION)]) | {"x-organization-id": organization}
    if error is not None:
        with pytest.raises(error, match=r"X-Organization-Id|not a member"):
            principal(headers)
    else:
        acting_for: UUID | None = ORGANIZATION if organization else None
        assert principal(headers).acting_for == acting_for


@pytest.mark.parametrize("subject", ["x" * 256, "a\nb", "\x00"])
def test_a_subject_that_cannot_be_stored_is_refused(subject: str) -> None:
    with pytest.raises(Unauthenticated, match="sub"):
        principal(bearer(sub=subject))
