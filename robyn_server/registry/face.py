"""The seed's call, for a program that has the database: `result = await register_agent_instance(…)`, `if result.is_new: …`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from robyn_server.core.registry import Registered, Registering
from robyn_server.metrics.definitions import is_announced
from robyn_server.settings import load_settings
from robyn_server.storage.database import Pool, Role, open_connection
from robyn_server.storage.instances import Instances

from .counted import count_registered, counting_refusals
from .said import checked, tenant_of


async def register_agent_instance(
    tenant_id: UUID,
    agent_id: str,
    instance_id: str,
    connection_details: Mapping[str, Any] | None = None,
    runtime_config: Mapping[str, Any] | None = None,
    *,
    pool: Pool | None = None,
    **more: Any,
) -> Registered:
    """Registers, or registers again: `.is_new` tells which. `more`: the other fields of `Registering`, by name.

    `pool` works as agenthall_app; without one, a connection to DATABASE_URL is opened for this call. Whoever has the database is
    trusted: nobody is asked whether he belongs to the tenant. Raises Invalid naming the field, Forbidden (code
    configuration_disabled), Unavailable, Misconfigured.
    """
    objects = {
        "connection_details": {} if connection_details is None else connection_details,
        "runtime_config": {} if runtime_config is None else runtime_config,
    }
    said = {"agent_id": agent_id, "instance_id": instance_id, **objects, **more}
    if not is_announced():  # nobody reads a program's own numbers, and its prometheus-client is not ours to set up
        return await _registered(tenant_id, said, pool)
    with counting_refusals(TypeError):
        registered = await _registered(tenant_id, said, pool)
    count_registered(registered)
    return registered


async def _registered(tenant_id: UUID, said: Mapping[str, Any], pool: Pool | None) -> Registered:
    tenant, asked = tenant_of(tenant_id), checked(said)
    if pool is not None:
        return await _register(Instances(pool), tenant, asked)
    connection = await open_connection(load_settings().dsn, Role.APP, name="agenthall registry")
    try:
        return await _register(Instances(connection), tenant, asked)
    finally:
        await connection.close()


async def _register(instances: Instances, tenant: UUID, asked: Registering) -> Registered:
    return await instances.register(tenant, asked, registered_by="database", keeper_id=None)
