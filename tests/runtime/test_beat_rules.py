from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from leased import Leased

from robyn_server.core.errors import Invalid
from robyn_server.core.registry import Beat, HealthStatus
from robyn_server.runtime.beat_rules import LARGEST_JSON, _written, ensure_sayable, refusal_of
from robyn_server.runtime.lease_keeper import LeaseKeeper
from robyn_server.storage.json import to_json

MANY_COMMAS = {"x": [1] * 3000}
"""6,007 bytes as they are sent, 9,006 as PostgreSQL writes them."""


def _beat(**said: Any) -> Beat:
    return Beat(UUID(int=1), UUID(int=2), said.pop("epoch", 1), **said)


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
def test_what_is_not_for_an_instance_to_say_is_named(beat: Beat, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        ensure_sayable(beat)
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
def test_what_may_be_said_is_let_through(said: dict[str, Any]) -> None:
    ensure_sayable(_beat(**said))


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
async def test_what_only_its_size_in_the_database_spoils_is_named_too(
    leased: Leased, said: dict[str, Any], field: str
) -> None:
    registered = await leased.register()
    beat = Beat(UUID(int=1), registered.registration_id, registered.epoch, **said)
    ensure_sayable(beat)
    keeper = LeaseKeeper(leased.leases, "test", gather_seconds=0.001)
    keeper.start()
    try:
        with pytest.raises(Invalid) as caught:
            await keeper.beat(beat)
    finally:
        await keeper.stop()
    assert caught.value.detail == refusal_of(beat).detail == f"{field}: must be a JSON object of at most 8 KiB"
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
async def test_sizes_are_those_that_postgres_measures(leased: Leased, value: dict[str, Any]) -> None:
    query = "select octet_length($1::jsonb::text) as bytes, mcp.is_metrics($1::jsonb) as fits"
    measured = await leased.owner.fetchrow(query, to_json(value))
    assert measured is not None
    assert measured["bytes"] == _written(value) and measured["fits"] is (_written(value) <= LARGEST_JSON)
