"""`select` of a thread's state."""

from __future__ import annotations

from typing import Any

import pytest

from robyn_server.core.errors import Invalid
from robyn_server.core.threads.state_select import FIELDS, parse_select

STATE: dict[str, Any] = {name: name for name in FIELDS} | {"values": {"messages": [1], "count": 2, "a.b": 3}}


def _selected(*names: str) -> dict[str, Any]:
    select = parse_select(names)
    assert select is not None
    return select.apply(STATE)


@pytest.mark.parametrize("names", [None, []])
def test_no_names_select_all(names: list[str] | None) -> None:
    assert parse_select(names) is None


def test_members_come_in_the_order_of_the_state() -> None:
    assert list(_selected("next", "checkpoint", "values")) == ["values", "next", "checkpoint"]


def test_a_key_of_the_values_is_selected_by_its_name() -> None:
    assert _selected("values.messages", "next") == {"values": {"messages": [1]}, "next": "next"}
    assert _selected("values.a.b") == {"values": {"a.b": 3}}


def test_all_values_include_each_key() -> None:
    assert _selected("values", "values.count") == {"values": STATE["values"]}


def test_a_key_that_the_values_do_not_have_is_left_out() -> None:
    assert _selected("values.count", "values.nope") == {"values": {"count": 2}}


@pytest.mark.parametrize("values", [["a"], "text", None])
def test_values_that_are_no_object_have_no_keys(values: Any) -> None:
    select = parse_select(["values.count"])
    assert select is not None
    assert select.apply(STATE | {"values": values}) == {"values": {}}


@pytest.mark.parametrize("name", ["zzz", "values.", "messages", "Values", "checkpoint.checkpoint_id", ""])
def test_another_name_is_refused_by_name(name: str) -> None:
    with pytest.raises(Invalid, match=f"select: '{name}'") as refused:
        parse_select(["next", name])
    assert refused.value.field == "select"
