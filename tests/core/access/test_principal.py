"""Principals, and the organization of what they create."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from robyn_server.core.access.principal import ADMIN, LOCAL, Principal
from robyn_server.core.errors import BadRequest, Forbidden

FIRST, SECOND = uuid4(), uuid4()


def member(*organizations: UUID) -> Principal:
    return Principal("someone", frozenset(organizations))


def test_the_only_organization_is_the_default() -> None:
    assert member(FIRST).organization_for_new() == FIRST


def test_of_several_organizations_one_must_be_named() -> None:
    with pytest.raises(BadRequest, match="X-Organization-Id"):
        member(FIRST, SECOND).organization_for_new()
    assert member(FIRST, SECOND).in_organization(SECOND).organization_for_new() == SECOND


def test_an_organization_that_is_not_ones_own_cannot_be_named() -> None:
    with pytest.raises(Forbidden):
        member(FIRST).in_organization(SECOND)


def test_without_an_organization_nothing_belongs_to_one() -> None:
    assert member().organization_for_new() is None


def test_an_administrator_may_act_for_any_organization_and_belongs_to_its_own() -> None:
    root = Principal("root", frozenset({FIRST}), frozenset({ADMIN}))
    assert root.is_member(SECOND)
    assert root.in_organization(SECOND).organization_for_new() == SECOND
    assert root.organization_for_new() == FIRST


def test_the_local_principal_is_an_administrator_of_all_organizations() -> None:
    assert LOCAL.is_admin
    assert LOCAL.is_member(FIRST)
    assert LOCAL.organization_for_new() is None
