"""`agenthall agents list` in terminals of any width."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from rich.cells import cell_len

from robyn_server.cli.agents.format import instances_table
from robyn_server.cli.agents.instances_table import short_ids


def _instance(agent_id: str, instance_id: str, number: int, **said: Any) -> dict[str, Any]:
    return {
        "agent_id": agent_id,
        "instance_id": instance_id,
        "registration_status": "active",
        "health_status": "healthy",
        "workload": 0,
        "version": "1.2.0",
        "zone": "eu-central",
        "capabilities": ["summarise", "code"],
        "last_health_check": datetime.now(UTC).isoformat(),
        "registration_id": str(UUID(int=number << 100)),
        **said,
    }


FOUND = [
    _instance("ide-agent", "laptop-of-somebody-4711", 1),
    _instance("slack-bot", "c1", 2, registration_status="draining", health_status="unhealthy", zone=None),
    _instance("你好机器人", "x" * 60, 3, capabilities=["word"] * 30),
]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132, 200])
def test_each_instance_is_on_one_line_within_the_terminal(width: int) -> None:
    lines = instances_table(FOUND, width).splitlines()
    assert len(lines) == 2 + len(FOUND)
    assert max(map(cell_len, lines)) <= width
    for line, each in zip(lines[2:], FOUND, strict=True):
        assert line.startswith(each["agent_id"]) and each["registration_id"][:8] in line


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (60, "agent instance status health registration"),
        (80, "agent instance status health load seen registration"),
        (132, "agent instance status health load version zone capabilities seen registration"),
    ],
)
def test_what_is_least_important_goes_first(width: int, headings: str) -> None:
    assert instances_table(FOUND, width).split("\n")[0].split() == headings.split()


def test_where_there_is_room_nothing_is_cut() -> None:
    shown = instances_table(FOUND, 400)
    assert "…" not in shown
    assert all(each["registration_id"] in shown and each["instance_id"] in shown for each in FOUND)


def test_without_a_terminal_registrations_stay_whole_however_wide_the_rest_is() -> None:
    shown = instances_table(FOUND)
    assert all(each["registration_id"] in shown for each in FOUND)


def test_a_wide_table_is_whole_in_any_terminal() -> None:
    assert instances_table(FOUND, 40, wide=True) == instances_table(FOUND, 400)


def test_ids_are_shortened_as_far_as_they_stay_different() -> None:
    assert short_ids(["abcdefgh-1", "bbcdefgh-1"]) == ["abcdefgh", "bbcdefgh"]
    assert short_ids(["abcdefgh-1", "abcdefgh-2", "x"]) == ["abcdefgh-1", "abcdefgh-2", "x"]
    assert short_ids(["a", "a"]) == ["a", "a"]


def test_a_table_of_nothing_says_so() -> None:
    assert instances_table([], 80) == "no instances\n"
