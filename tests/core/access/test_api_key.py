"""The text of an API key."""

from __future__ import annotations

import re
from uuid import UUID

import pytest

from robyn_server.core.access.api_key import find_api_key, find_prefix, mint
from robyn_server.core.access.principal import LOCAL, Kind, Principal
from robyn_server.core.access.scopes import MEANINGS, PRIVILEGED, Scope, parse_scopes
from robyn_server.core.errors import Forbidden, Invalid


def test_keys_are_all_different_and_a_scanner_knows_them() -> None:
    made = [mint() for _ in range(200)]
    assert len({key.text for key in made}) == len({key.prefix for key in made}) == 200
    for key in made:
        assert re.fullmatch(r"ahk_[a-z2-7]{10}_[0-9A-Za-z]{49}", key.text)
        assert find_api_key(key.text) == key and key.text.startswith(f"ahk_{key.prefix}_")


def test_a_mistyped_key_is_known_by_its_checksum() -> None:
    text = mint().text
    for at in range(4, len(text)):
        wrong = text[:at] + ("a" if text[at] != "a" else "b") + text[at + 1 :]
        assert find_api_key(wrong) is None, at
    for wrong in ("", "ahk_", text[:-1], text + "a", text.upper(), f" {text}", f"{text}\n", text.replace("_", "-")):
        assert find_api_key(wrong) is None


def test_only_the_key_itself_matches_its_digest() -> None:
    key, other = mint(), mint()
    assert key.matches(key.digest) and len(key.digest) == 32
    assert not other.matches(key.digest)
    assert key.text not in repr(key) and key.prefix in repr(key)


def test_a_key_is_named_by_its_prefix_in_any_form() -> None:
    key = mint()
    for text in (key.prefix, f"ahk_{key.prefix}", key.text, f" {key.text}\n"):
        assert find_prefix(text) == key.prefix
    for text in ("", "ahk_", "a", key.prefix + "a", "%", key.prefix.upper() + "_"):
        assert find_prefix(text) is None


def test_the_list_of_scopes_is_closed_and_each_is_explained() -> None:
    assert set(MEANINGS) == set(Scope)
    assert parse_scopes(["runs", "admin"]) == {Scope.RUNS, Scope.ADMIN}
    with pytest.raises(Invalid, match="'run' is not a scope"):
        parse_scopes(["runs", "run"])


def test_a_member_may_all_but_what_reaches_past_their_organizations() -> None:
    for principal in (Principal("ada"), Principal("ada", permissions=frozenset({"read"}))):
        assert {scope for scope in Scope if not principal.may(scope)} == PRIVILEGED


def test_a_limited_principal_may_what_it_was_given_and_no_more() -> None:
    limited = Principal("key:a", permissions=frozenset({"runs"}), limited=True)
    assert [scope for scope in Scope if limited.may(scope)] == [Scope.RUNS]
    assert not any(Principal("key:a", limited=True).may(scope) for scope in Scope)


def test_a_principal_that_is_bound_to_assistants_runs_these() -> None:
    one, copy, agent = (UUID(int=number) for number in range(1, 4))
    bound = Principal("key:a", assistants=frozenset({one, agent}))
    bound.require_assistant(one)
    bound.require_assistant(copy, agent)
    Principal("ada").require_assistant(copy)
    for assistant_id, template_id in ((copy, None), (copy, copy)):
        with pytest.raises(Forbidden) as caught:
            bound.require_assistant(assistant_id, template_id)
        assert (caught.value.code, caught.value.field) == ("assistant_not_allowed", "assistant_id")


def test_who_acts_for_an_organization_is_as_limited_as_before() -> None:
    limited = Principal("key:a", frozenset({UUID(int=1)}), frozenset({"runs"}), Kind.INSTANCE, limited=True)
    acting = limited.in_organization(UUID(int=1))
    assert (acting.limited, acting.kind, acting.acting_for) == (True, Kind.INSTANCE, UUID(int=1))
    assert not acting.may(Scope.THREADS_READ)
    with pytest.raises(Forbidden) as caught:
        limited.in_organization(UUID(int=2), named_by="tenant_id")
    assert caught.value.field == "tenant_id"


def test_an_administrator_may_everything() -> None:
    root = Principal("key:a", permissions=frozenset({"admin"}), limited=True)
    assert all(root.may(scope) and LOCAL.may(scope) for scope in Scope)
