"""Shares of streams."""

from __future__ import annotations

import pytest

from robyn_server.core.errors import TooMany
from robyn_server.settings import load_settings
from robyn_server.web.streams.slots import StreamSlots, slots_per_principal


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({"auth_mode": "keys"}, 64),
        ({"auth_mode": "keys", "max_streams": 3}, 1),
        ({"auth_mode": "keys", "max_streams": 3, "streams_per_principal": 2}, 2),
        ({"auth_mode": "none"}, None),
        ({"auth_mode": "none", "streams_per_principal": 1}, None),
    ],
)
def test_a_share_is_a_quarter_unless_it_is_set_and_there_is_none_where_all_are_one(
    settings: dict[str, object], share: int | None
) -> None:
    assert slots_per_principal(load_settings(**settings)) == share


def test_a_seat_counts_once_however_often_it_is_left() -> None:
    slots = StreamSlots(2)
    first, _second = slots.acquire("a"), slots.acquire("a")
    first.release()
    first.release()
    assert len(slots) == 1
    slots.acquire("a")
    with pytest.raises(TooMany):
        slots.acquire("a")
    slots.acquire("b")


def test_without_a_limit_seats_are_counted_all_the_same() -> None:
    slots = StreamSlots(None)
    taken = [slots.acquire("local") for _ in range(1000)]
    assert len(slots) == 1000
    for slot in taken:
        slot.release()
    assert len(slots) == 0
