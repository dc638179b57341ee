"""Settings: each wrong one is named."""

from __future__ import annotations

import pytest

from robyn_server.core.egress.policy import EgressLevel
from robyn_server.core.errors import Misconfigured
from robyn_server.settings import Settings, find_unknown, load_settings


def test_every_setting_has_a_variable_and_a_description() -> None:
    for name, field in Settings.model_fields.items():
        assert field.validation_alias, name
        assert field.description, name


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AGENTHALL_PORT", "x"),
        ("AGENTHALL_GRAPHS", "{"),
        ("AGENTHALL_GRAPHS", '{"instances": "module:graph"}'),
        ("AUTH_MODE", "magic"),
        ("AGENTHALL_EGRESS", "everything"),
        ("AGENTHALL_EGRESS_ALLOW", "http://mcp.internal"),
        ("AGENTHALL_WORKER_SLOTS", "0"),
        ("AGENTHALL_PENDING_RUNS_PER_OWNER", "-1"),
        ("AGENTHALL_PENDING_RUNS_PER_ORGANIZATION", "many"),
        ("AGENTHALL_RUNNING_RUNS_PER_OWNER", "0"),
        ("AGENTHALL_RUNNING_RUNS_PER_ORGANIZATION", "0"),
        ("AGENTHALL_QUEUE_WEIGHTS", '{"acme": 2}'),
        ("AGENTHALL_QUEUE_WEIGHTS", '{"018f0000-0000-7000-8000-000000000000": 101}'),
        ("AGENT_SYNC_CACHE_TTL", "-1"),
        ("AGENT_SYNC_TOOL_NAMES", "both"),
        ("AGENTHALL_HTTP_APP", ""),
        ("AGENTHALL_HTTP_APP_AUTH", "true"),  # of no app
        ("AGENTHALL_HTTP_MIDDLEWARE_ORDER", "auth_first"),  # of no app
        ("AGENTHALL_THREAD_TTL", "0"),
        ("AGENTHALL_THREAD_TTL_STRATEGY", "archive"),
        ("AGENTHALL_THREAD_MAX_IDLE", "-1"),
        ("AGENTHALL_THREAD_SWEEP", "0"),
        ("AGENTHALL_KEEP_CHECKPOINTS", "0"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Misconfigured, match=variable):
        load_settings()


def test_without_credentials_only_loopback_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTH_MODE", raising=False)
    with pytest.raises(Misconfigured, match="loopback"):
        load_settings(host="0.0.0.0")


def test_without_credentials_no_proxy_is_served() -> None:
    """Behind a proxy every request comes from loopback."""
    with pytest.raises(Misconfigured, match="AUTH_MODE=keys or jwt"):
        load_settings(auth_mode="none", host="127.0.0.1", behind_proxy=True)
    assert load_settings(auth_mode="keys", host="127.0.0.1", behind_proxy=True).behind_proxy


@pytest.mark.parametrize(
    ("field", "wrong", "right"),
    [
        ("domain", "https://agents.example.com", "agents.example.com"),
        ("domain", "agents.example.com:443", "localhost"),
        ("domain", "a.example.com b.example.com", "xn--bcher-kva.example"),
        ("domain", "*.example.com", "a-b.example.com"),
        ("certificates", "private", "internal"),
        ("certificates", "http://acme.example/directory", "https://acme.example/directory"),
    ],
)
def test_the_proxy_is_given_a_name_and_an_issuer(
    field: str, wrong: str, right: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"AGENTHALL_{field.upper()}"
    monkeypatch.setenv(variable, wrong)
    with pytest.raises(Misconfigured, match=variable):
        load_settings()
    monkeypatch.setenv(variable, right)
    assert getattr(load_settings(), field) == right


def test_addresses_of_this_machine_are_allowed_by_default_where_it_has_all_users() -> None:
    def level(mode: str, **settings: str) -> EgressLevel:
        return load_settings(auth_mode=mode, **settings).egress_policy.level

    assert (level("none"), level("keys")) == (EgressLevel.LOOPBACK, EgressLevel.PUBLIC)
    assert level("none", auth_handlers="project:auth") is EgressLevel.PUBLIC, "handlers authenticate users"
    assert level("none", egress_level="listed") is EgressLevel.LISTED
    assert level("keys", egress_level="private") is EgressLevel.PRIVATE


def test_jwt_needs_a_long_secret() -> None:
    with pytest.raises(Misconfigured, match="AUTH_JWT_SECRET"):
        load_settings(auth_mode="jwt", jwt_secret="short")
    assert load_settings(auth_mode="jwt", jwt_secret="s" * 32, host="0.0.0.0").host == "0.0.0.0"


def test_organizations_never_come_from_what_a_user_may_edit() -> None:
    with pytest.raises(Misconfigured, match="user_metadata"):
        load_settings(auth_mode="jwt", jwt_secret="s" * 32, jwt_organizations_claim="user_metadata.orgs")


@pytest.mark.parametrize(
    ("misspelled", "meant"),
    [
        ("AGENTHALL_POOLSIZE", "AGENTHALL_POOL_SIZE"),
        ("AGENTHALL_GRAPH", "AGENTHALL_GRAPHS"),
        ("AGENT_SYNC_SCOPES", "AGENT_SYNC_SCOPE"),
        ("AUTH_JWT_AUDIENCES", "AUTH_JWT_AUDIENCE"),
    ],
)
def test_a_misspelled_variable_is_refused_with_the_one_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, misspelled: str, meant: str
) -> None:
    monkeypatch.setenv(misspelled, "3")
    with pytest.raises(Misconfigured, match=f"{misspelled}: there is no such setting. Did you mean {meant}?"):
        load_settings()


@pytest.mark.parametrize(
    "name",
    [
        "AGENTHALL_URL",
        "AGENTHALL_SERVICE_HOST",  # of Kubernetes, for a service named agenthall
        "AGENTHALL_SOCKETS_SERVICE_PORT",
        "AGENTHALL_PORT_2024_TCP_ADDR",
        "AGENTHALL_TEST_LONG",
        "AUTH_SECRET",  # of Auth.js
    ],
)
def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "3")
    load_settings()
    assert name not in find_unknown({name: "3"})


def test_an_unlike_variable_is_reported_as_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTHALL_OF_A_LATER_VERSION", "3")
    load_settings()
    assert find_unknown({"AGENTHALL_OF_A_LATER_VERSION": "3", "PATH": ""}) == ["AGENTHALL_OF_A_LATER_VERSION"]
