"""The metric of live instances names the most frequent types, and counts the others together."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from registry_database import ORG_1, ORG_2, RegistryDatabase, filled_registry

from robyn_server.core.access.principal import LOCAL
from robyn_server.metrics.definitions import INSTANCES, MOST_AGENTS
from robyn_server.services.monitoring.metrics import MetricsService
from robyn_server.storage.registry.instances.leases import Leases
from robyn_server.storage.runs.queue import RunQueue

TYPES = 130
_FILL = f"""
insert into mcp.agent_manifests (agent_id) select 'type "' || n || '"' from generate_series(1, {TYPES}) n;
insert into mcp.agent_manifests (agent_id) values ('other'), ('gone');
insert into mcp.agent_configurations (tenant_id, manifest_id, name)
select t.id, m.id, m.agent_id from mcp.agent_manifests m, unnest(array['{ORG_1}', '{ORG_2}']::uuid[]) t (id);
insert into mcp.agent_instances (tenant_id, manifest_id, agent_id, instance_id, name)
select c.tenant_id, c.manifest_id, c.name, 'i' || n, 'bot' from mcp.agent_configurations c
 cross join generate_series(1, coalesce(substring(c.name from '[0-9]+')::integer, 1000)) n;
insert into mcp.agent_leases (registration_id, tenant_id, manifest_id, epoch, lease_expires_at, last_health_check, lease_ttl)
select i.id, i.tenant_id, i.manifest_id, 1, now() + case i.agent_id when 'gone' then interval '-1 h' else interval '1 h' end, now(), '1 h'
  from mcp.agent_instances i;
"""
"""Type n has n instances with each of two tenants; a type that is called `other` has the most."""


@pytest.fixture(scope="module")
async def fleet(postgres: str, template: str) -> AsyncIterator[RegistryDatabase]:
    async with filled_registry(postgres, template, _FILL, analysed=True) as registry:
        yield registry


async def test_the_most_frequent_types_are_named_and_the_others_counted_together(fleet: RegistryDatabase) -> None:
    found = await Leases(fleet.system).count_living(3, "other")
    rest = sum(2 * n for n in range(1, TYPES - 1))
    assert found == {"other": 2000 + rest, 'type "130"': 260, 'type "129"': 258}
    assert await Leases(fleet.system).count_living(1, "the others") == {"other": 2000, "the others": rest + 260 + 258}


async def test_a_scrape_shows_a_bounded_number_of_types(fleet: RegistryDatabase) -> None:
    text = await MetricsService(RunQueue(fleet.system), Leases(fleet.system)).text(LOCAL, "")
    families = {each.name: each for each in text_string_to_metric_families(text.body.decode())}
    shown = {sample.labels["agent"]: sample.value for sample in families[INSTANCES.name].samples}
    assert (len(shown), shown['type "130"']) == (MOST_AGENTS, 260)
    assert sum(shown.values()) == 2000 + TYPES * (TYPES + 1)
