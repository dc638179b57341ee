"""A default organization exists with AUTH_MODE=none only."""

from __future__ import annotations

from uuid import UUID

import pytest
from databases import fresh_database
from servers.live_server import live_server

from robyn_server.core.errors import Misconfigured
from robyn_server.settings import load_settings
from robyn_server.supervisor import demo

SECRET = "s" * 32


@pytest.mark.parametrize("given", [{"dev_tenant": UUID(int=1)}, {"dev_key": "dev-key"}])
@pytest.mark.parametrize("mode", [{"auth_mode": "keys"}, {"auth_mode": "jwt", "jwt_secret": SECRET}])
def test_development_settings_are_refused_where_credentials_are_required(
    given: dict[str, object], mode: dict[str, object]
) -> None:
    assert load_settings(**given).auth_mode == "none"
    with pytest.raises(Misconfigured, match="AGENTHALL_DEV_TENANT"):
        load_settings(**given, **mode)


async def test_with_the_demos_settings_an_instance_registers_without_naming_an_organization(
    postgres: str, template: str
) -> None:
    tenant, key = (
        demo.DEVELOPMENT_CREDENTIALS["AGENTHALL_DEV_TENANT"],
        demo.DEVELOPMENT_CREDENTIALS["AGENTHALL_DEV_KEY"],
    )
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, workers=0, AGENTHALL_DEV_TENANT=tenant, AGENTHALL_DEV_KEY=key) as server,
        server.http() as client,
    ):
        body = {"agent_id": "ide-agent", "instance_id": "conn-1"}
        assert (await client.post("/agents/instances", json=body)).status_code == 201
        (found,) = (await client.get("/agents/instances")).json()["instances"]
        assert found["tenant_id"] == tenant
        elsewhere = {"x-organization-id": str(UUID(int=2))}
        assert (await client.get("/agents/instances", headers=elsewhere)).json()["instances"] == []
