"""The Python API of the registry, for programs with access to the database.

registration = await register_agent_instance(tenant_id, "ide", "vscode-1")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from robyn_server.core.ids import parse_uuid
from robyn_server.core.registry.instances import Registration
from robyn_server.metrics.definitions import is_announced
from robyn_server.registry.instances.registration_metrics import count_failures, count_registration
from robyn_server.settings import load_settings
from robyn_server.storage.postgres.pools import Connection, Pool, Role, open_connection
from robyn_server.storage.registry.instances.instances import Instances

from .validation import validate


async def register_agent_instance(
    tenant_id: UUID,
    agent_id: str,
    instance_id: str,
    connection_details: Mapping[str, Any] | None = None,
    runtime_config: Mapping[str, Any] | None = None,
    *,
    pool: Pool | None = None,
    **more: Any,
) -> Registration:
    """Register an instance, or register it again: `.is_new` of the result tells which. `more`: other fields of
    RegistrationRequest.

    A field that is None keeps the value of an earlier registration.

    `pool` runs as agenthall_app. Without one, a connection to DATABASE_URL is opened for this call. A program with
    access to the database is trusted: membership in the organization is not checked. Raises Invalid naming the field,
    Forbidden (code configuration_disabled), Unavailable, Misconfigured.
    """
    fields = {
        "agent_id": agent_id,
        "instance_id": instance_id,
        "connection_details": connection_details,
        "runtime_config": runtime_config,
        **more,
    }
    if not is_announced():
        # Outside the server nobody reads the metrics, and the program sets up prometheus-client.
        return await _register(tenant_id, fields, pool)
    with count_failures(TypeError):
        registration = await _register(tenant_id, fields, pool)
    count_registration(registration)
    return registration


async def _register(tenant_id: UUID, fields: Mapping[str, Any], pool: Pool | None) -> Registration:
    organization_id, request = parse_uuid(tenant_id, "tenant_id"), validate(fields)

    async def register(session: Pool | Connection) -> Registration:
        return await Instances(session).register(organization_id, request, registered_by="database", keeper_id=None)

    if pool is not None:
        return await register(pool)
    connection = await open_connection(load_settings().dsn, Role.APP, name="agenthall registry")
    try:
        return await register(connection)
    finally:
        await connection.close()
