"""Invalid heartbeats are refused with the name of the field, by the rules of the SQL functions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from lease_database import LeaseDatabase

from robyn_server.core.errors import Invalid
from robyn_server.core.registry.instances import HealthStatus, Heartbeat
from robyn_server.registry.leases.heartbeat_rules import (
    MAX_JSON_BYTES,
    jsonb_size,
    rejection_reason,
    validate_heartbeat,
)
from robyn_server.registry.leases.heartbeats import HeartbeatBatcher
from robyn_server.storage.postgres.json import to_json

MANY_COMMAS = {"x": [1] * 3000}
"""6,007 bytes as sent, and 9,006 as PostgreSQL writes them."""


def _beat(**said: Any) -> Heartbeat:
    return Heartbeat(UUID(int=1), UUID(int=2), said.pop("epoch", 1), **said)


@pytest.mark.parametrize(
    ("beat", "field"),
    [
        (_beat(epoch=-1), "epoch"),
        (_beat(epoch=2**63), "epoch"),
        (_beat(health=HealthStatus.STALE), "health"),
        (_beat(health="fine"), "health"),
        (_beat(load=[1]), "load"),
        (_beat(metrics="x"), "metrics"),
        (_beat(load={"x": "y" * 9000}), "load"),
        (_beat(metrics={"x": "y" * 9000}), "metrics"),
        (_beat(metrics={"x": "a\0"}), "metrics"),
        (_beat(metrics={"x": 2**70}), "metrics"),
        (_beat(load={"workload": "much"}), "load.workload"),
        (_beat(load={"workload": None}), "load.workload"),
        (_beat(load={"workload": True}), "load.workload"),
        (_beat(load={"workload": 1.5}), "load.workload"),
        (_beat(load={"workload": float("nan")}), "load.workload"),
        (_beat(load={"workload": 2**31}), "load.workload"),
    ],
)
def test_invalid_fields_are_named(beat: Heartbeat, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        validate_heartbeat(beat)
    assert caught.value.field == field and caught.value.detail.startswith(f"{field}: ")


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"health": HealthStatus.DEGRADED},
        {"load": {}},
        {"load": {"workload": 2.0}},
        {"metrics": {"x": "y" * 8180}},
        {"metrics": {"x": "C:\\u0000"}},
    ],
)
def test_valid_heartbeats_are_accepted(said: dict[str, Any]) -> None:
    validate_heartbeat(_beat(**said))


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"load": MANY_COMMAS}, "load"),
        ({"metrics": MANY_COMMAS}, "metrics"),
        ({"load": {"workload": 1}, "metrics": MANY_COMMAS}, "metrics"),
        ({"load": MANY_COMMAS, "metrics": {"x": "y" * 8000}}, "load"),
        ({"load": {"x": "y" * 8000}, "metrics": {"x": [1e300] * 40}}, "metrics"),
    ],
)
async def test_a_field_that_is_too_large_only_as_jsonb_is_named(
    lease_db: LeaseDatabase, said: dict[str, Any], field: str
) -> None:
    registered = await lease_db.register()
    beat = Heartbeat(UUID(int=1), registered.registration_id, registered.epoch, **said)
    validate_heartbeat(beat)
    keeper = HeartbeatBatcher(lease_db.leases, "test", batch_seconds=0.001)
    keeper.start()
    try:
        with pytest.raises(Invalid) as caught:
            await keeper.submit(beat)
    finally:
        await keeper.stop()
    assert caught.value.detail == rejection_reason(beat).detail == f"{field}: must be a JSON object of at most 8 KiB"
    assert caught.value.field == field


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"x": []},
        {"a": [1, -2, True, None, {"b": {}}], 'é"\\\n\x01\x7f': "你好 \U0001f600/"},
        {"n": [1e300, 1e-7, 0.1, 1.5e16, -3.25, 12345678901234567, 1e22]},
        MANY_COMMAS,
    ],
)
async def test_sizes_are_those_that_postgresql_measures(lease_db: LeaseDatabase, value: dict[str, Any]) -> None:
    query = "select octet_length($1::jsonb::text) as bytes, mcp.is_metrics($1::jsonb) as fits"
    measured = await lease_db.owner.fetchrow(query, to_json(value))
    assert measured is not None
    assert measured["bytes"] == jsonb_size(value) and measured["fits"] is (jsonb_size(value) <= MAX_JSON_BYTES)
