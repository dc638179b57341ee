"""Non-members read and change nothing, and the organization of a request is never guessed."""

from __future__ import annotations

import pytest
from instance_service_driver import ADA, BOTH, MIA, InstanceServiceDriver
from registry_database import ORG_1, ORG_2

from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.errors import BadRequest, Forbidden, NotFound
from robyn_server.core.registry.instances import (
    HealthStatus,
    Heartbeat,
    InstanceChange,
    InstanceFilter,
    Outcome,
    RegistrationStatus,
)
from robyn_server.registry import OrganizationSelector


async def test_the_same_instance_id_in_two_organizations_is_two_instances(driver: InstanceServiceDriver) -> None:
    mine, theirs = await driver.register(), await driver.register(who=MIA, tenant=ORG_2, capabilities=("theirs",))
    assert mine.registration_id != theirs.registration_id and theirs.is_new
    await driver.service.deregister(MIA, ORG_2, theirs.registration_id, 1)
    assert await driver.search_ids() == {"c1"}
    assert await driver.search_ids(capabilities=("theirs",)) == set()
    assert await driver.search_ids(status=RegistrationStatus.INACTIVE) == set()


async def test_a_registration_of_another_organization_does_not_exist(driver: InstanceServiceDriver) -> None:
    theirs = await driver.register("theirs", who=MIA, tenant=ORG_2)
    service, key = driver.service, (ADA, ORG_1, theirs.registration_id, theirs.epoch)
    before = await service.get(MIA, ORG_2, theirs.registration_id)
    for asked in (
        service.get(ADA, ORG_1, theirs.registration_id),
        service.last_request(ADA, ORG_1, theirs.registration_id),
        service.heartbeat(ADA, Heartbeat(ORG_1, theirs.registration_id, theirs.epoch, HealthStatus.UNHEALTHY)),
    ):
        with pytest.raises(NotFound):
            await asked
    assert await service.drain(*key) is Outcome.UNKNOWN
    assert await service.deregister(*key) is Outcome.UNKNOWN
    assert await service.disconnect(*key, 0) is Outcome.UNKNOWN
    assert await service.update(*key, InstanceChange(name="mine")) is Outcome.UNKNOWN
    assert await service.get(MIA, ORG_2, theirs.registration_id) == before


async def test_every_method_is_forbidden_to_non_members(driver: InstanceServiceDriver) -> None:
    theirs = await driver.register("theirs", who=MIA, tenant=ORG_2)
    service, key = driver.service, (ADA, ORG_2, theirs.registration_id, theirs.epoch)
    for asked in (
        driver.register(tenant=ORG_2),
        service.heartbeat(ADA, Heartbeat(ORG_2, theirs.registration_id, theirs.epoch)),
        service.drain(*key),
        service.deregister(*key),
        service.disconnect(*key, 0),
        service.update(*key, InstanceChange(name="mine")),
        service.get(ADA, ORG_2, theirs.registration_id),
        service.last_request(ADA, ORG_2, theirs.registration_id),
        service.search(ADA, ORG_2, InstanceFilter(), None, 5),
    ):
        with pytest.raises(Forbidden):
            await asked


def test_the_organization_is_the_named_one_or_the_only_one() -> None:
    tenants = OrganizationSelector()
    assert tenants(ADA) == tenants(ADA, ORG_1) == ORG_1
    assert tenants(BOTH.in_organization(ORG_2)) == ORG_2
    assert tenants(BOTH.in_organization(ORG_2), ORG_1) == ORG_1
    with pytest.raises(Forbidden):
        tenants(ADA, ORG_2)
    for nobody in (BOTH, Principal("none"), LOCAL):
        with pytest.raises(BadRequest) as caught:
            tenants(nobody)
        assert (caught.value.code, caught.value.field) == ("organization_required", "X-Organization-Id")
        with pytest.raises(BadRequest, match="tenant_id") as caught:
            OrganizationSelector(named_by="tenant_id")(nobody)
        assert caught.value.field == "tenant_id"
    assert OrganizationSelector(ORG_2)(LOCAL) == ORG_2
    assert OrganizationSelector(ORG_2)(LOCAL, ORG_1) == ORG_1
    with pytest.raises(BadRequest):
        OrganizationSelector(ORG_2)(Principal("none"))
