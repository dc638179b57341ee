"""`register_agent_instance` of a program that has the database: what it says is looked at before a driver is."""

from __future__ import annotations

from typing import Any

import pytest
from instance_desk import ADA, Desk
from registry_sql import T1

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
async def test_a_wrong_type_is_invalid_and_named(desk: Desk, field: str, value: Any) -> None:
    said = {"tenant_id": T1, "agent_id": "ide-agent", "instance_id": "c1", field: value}
    with pytest.raises(Invalid) as caught:
        await register_agent_instance(**said, pool=desk.registry.app)
    assert caught.value.field == field and field in caught.value.detail


async def test_a_field_that_there_is_not_is_a_type_error(desk: Desk) -> None:
    with pytest.raises(TypeError, match="capabilites"):
        await register_agent_instance(T1, "ide-agent", "c1", capabilites=["code"], pool=desk.registry.app)


async def test_any_list_of_words_will_do(desk: Desk) -> None:
    words: Any = ["code", "debug"]
    one = await register_agent_instance(
        T1, "ide-agent", "c1", capabilities=words, tags=iter(["t"]), health="starting", pool=desk.registry.app
    )
    known = await desk.service.said(ADA, T1, one.registration_id)
    assert (known.capabilities, known.tags) == (("code", "debug"), ("t",))


async def test_it_counts_where_somebody_reads_the_numbers_and_else_nowhere(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counts() -> tuple[float, ...]:
        found = samples(REGISTRATIONS)
        return tuple(found.get((result,), 0) for result in ("registered", "reconnected", "refused", "failed"))

    async def register_and_be_refused() -> tuple[float, ...]:
        before = counts()
        await register_agent_instance(T1, "ide-agent", "counted", pool=desk.registry.app)
        for wrong, kind in (({"tags": 5}, Invalid), ({"colour": "red"}, TypeError), ({"zone": ""}, Invalid)):
            with pytest.raises(kind):
                await register_agent_instance(T1, "ide-agent", "c1", **wrong, pool=desk.registry.app)
        return tuple(after - first for after, first in zip(counts(), before, strict=True))

    assert await register_and_be_refused() == (0, 0, 0, 0)
    monkeypatch.setattr(definitions, "_announced", {"worker"})  # what `announce` leaves, without its gauges
    assert await register_and_be_refused() == (0, 1, 3, 0)
