"""Two tenants and their instances: who is no member reads and changes nothing, and the tenant is never a guess."""

from __future__ import annotations

import pytest
from instance_desk import ADA, BOTH, MIA, Desk
from registry_sql import T1, T2

from robyn_server.core.errors import BadRequest, Forbidden, NotFound
from robyn_server.core.principal import LOCAL, Principal
from robyn_server.core.registry import Beat, HealthStatus, InstanceChange, InstanceFilter, Outcome, RegistrationStatus
from robyn_server.registry import Tenants


async def test_two_tenants_do_not_meet_by_the_same_instance_id(desk: Desk) -> None:
    mine, theirs = await desk.register(), await desk.register(who=MIA, tenant=T2, capabilities=("theirs",))
    assert mine.registration_id != theirs.registration_id and theirs.is_new
    await desk.service.deregister(MIA, T2, theirs.registration_id, 1)
    assert await desk.found() == {"c1"}
    assert await desk.found(capabilities=("theirs",)) == set()
    assert await desk.found(status=RegistrationStatus.INACTIVE) == set()


async def test_another_tenants_registration_does_not_exist(desk: Desk) -> None:
    theirs = await desk.register("theirs", who=MIA, tenant=T2)
    service, key = desk.service, (ADA, T1, theirs.registration_id, theirs.epoch)
    before = await service.get(MIA, T2, theirs.registration_id)
    for asked in (
        service.get(ADA, T1, theirs.registration_id),
        service.said(ADA, T1, theirs.registration_id),
        service.heartbeat(ADA, Beat(T1, theirs.registration_id, theirs.epoch, HealthStatus.UNHEALTHY)),
    ):
        with pytest.raises(NotFound):
            await asked
    assert await service.drain(*key) is Outcome.UNKNOWN
    assert await service.deregister(*key) is Outcome.UNKNOWN
    assert await service.disconnect(*key, 0) is Outcome.UNKNOWN
    assert await service.update(*key, InstanceChange(name="mine")) is Outcome.UNKNOWN
    assert await service.get(MIA, T2, theirs.registration_id) == before


async def test_who_is_no_member_does_nothing_whatever_is_asked(desk: Desk) -> None:
    theirs = await desk.register("theirs", who=MIA, tenant=T2)
    service, key = desk.service, (ADA, T2, theirs.registration_id, theirs.epoch)
    for asked in (
        desk.register(tenant=T2),
        service.heartbeat(ADA, Beat(T2, theirs.registration_id, theirs.epoch)),
        service.drain(*key),
        service.deregister(*key),
        service.disconnect(*key, 0),
        service.update(*key, InstanceChange(name="mine")),
        service.get(ADA, T2, theirs.registration_id),
        service.said(ADA, T2, theirs.registration_id),
        service.search(ADA, T2, InstanceFilter(), None, 5),
    ):
        with pytest.raises(Forbidden):
            await asked


def test_the_tenant_is_the_one_named_or_the_only_one_and_never_a_guess() -> None:
    tenants = Tenants()
    assert tenants(ADA) == tenants(ADA, T1) == T1
    assert tenants(BOTH.in_organization(T2)) == T2
    assert tenants(BOTH.in_organization(T2), T1) == T1
    with pytest.raises(Forbidden):
        tenants(ADA, T2)
    for nobody in (BOTH, Principal("none"), LOCAL):
        with pytest.raises(BadRequest) as caught:
            tenants(nobody)
        assert (caught.value.code, caught.value.field) == ("organization_required", "X-Organization-Id")
        with pytest.raises(BadRequest, match="tenant_id") as caught:
            Tenants(named_by="tenant_id")(nobody)
        assert caught.value.field == "tenant_id"
    assert Tenants(T2)(LOCAL) == T2
    assert Tenants(T2)(LOCAL, T1) == T1
    with pytest.raises(BadRequest):
        Tenants(T2)(Principal("none"))
