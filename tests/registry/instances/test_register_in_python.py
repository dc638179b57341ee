"""`register_agent_instance` validates its arguments before they reach the driver."""

from __future__ import annotations

from typing import Any

import pytest
from instance_service_driver import ADA, InstanceServiceDriver
from registry_database import ORG_1

from robyn_server.core.errors import Invalid
from robyn_server.metrics import definitions
from robyn_server.metrics.definitions import REGISTRATIONS
from robyn_server.metrics.exposition import samples
from robyn_server.registry import register_agent_instance


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("capabilities", "abc"),
        ("capabilities", b"abc"),
        ("capabilities", [1]),
        ("capabilities", {"a": 1}),
        ("tags", 5),
        ("tags", ["a\0"]),
        ("agent_id", 5),
        ("agent_id", None),
        ("instance_id", "\ud800"),
        ("zone", 7),
        ("version", 1.2),
        ("name", ["x"]),
        ("connection_details", [1]),
        ("runtime_config", "{}"),
        ("health", "stale"),
        ("health", "fine"),
        ("tenant_id", "nobody"),
    ],
)
async def test_a_wrong_type_is_invalid_and_named(driver: InstanceServiceDriver, field: str, value: Any) -> None:
    said = {"tenant_id": ORG_1, "agent_id": "ide-agent", "instance_id": "c1", field: value}
    with pytest.raises(Invalid) as caught:
        await register_agent_instance(**said, pool=driver.registry.app)
    assert caught.value.field == field and field in caught.value.detail


async def test_an_unknown_field_is_a_type_error(driver: InstanceServiceDriver) -> None:
    with pytest.raises(TypeError, match="capabilites"):
        await register_agent_instance(ORG_1, "ide-agent", "c1", capabilites=["code"], pool=driver.registry.app)


async def test_any_iterable_of_strings_is_accepted(driver: InstanceServiceDriver) -> None:
    words: Any = ["code", "debug"]
    one = await register_agent_instance(
        ORG_1, "ide-agent", "c1", capabilities=words, tags=iter(["t"]), health="starting", pool=driver.registry.app
    )
    known = await driver.service.last_request(ADA, ORG_1, one.registration_id)
    assert (known.capabilities, known.tags) == (("code", "debug"), ("t",))


async def test_registrations_are_counted_only_where_metrics_are_announced(
    driver: InstanceServiceDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counts() -> tuple[float, ...]:
        found = samples(REGISTRATIONS)
        return tuple(found.get((result,), 0) for result in ("registered", "reconnected", "refused", "failed"))

    async def register_and_be_refused() -> tuple[float, ...]:
        before = counts()
        await register_agent_instance(ORG_1, "ide-agent", "counted", pool=driver.registry.app)
        for wrong, kind in (({"tags": 5}, Invalid), ({"colour": "red"}, TypeError), ({"zone": ""}, Invalid)):
            with pytest.raises(kind):
                await register_agent_instance(ORG_1, "ide-agent", "c1", **wrong, pool=driver.registry.app)
        return tuple(after - first for after, first in zip(counts(), before, strict=True))

    assert await register_and_be_refused() == (0, 0, 0, 0)
    monkeypatch.setattr(definitions, "_announced", {"worker"})  # as `announce` does, without its gauges
    assert await register_and_be_refused() == (0, 1, 3, 0)
