"""The public names of the client are those that its README describes."""

from __future__ import annotations

import re
from pathlib import Path

import agenthall_client
import pytest
from agenthall_client import AgentInstance, Client, InstanceRecord, Registration

CLIENT = {"discover", "list", "status", "watch"}
INSTANCE = CLIENT | {
    "beat_now",
    "drain",
    "epoch",
    "instance_id",
    "jobs",
    "registration",
    "registration_id",
    "serve",
    "state",
    "until_draining",
    "update",
}
README = Path(agenthall_client.__file__).parents[1] / "README.md"


@pytest.mark.parametrize(("kind", "names"), [(Client, CLIENT), (AgentInstance, INSTANCE)])
def test_a_client_has_no_other_public_names(kind: type, names: set[str]) -> None:
    assert {name for name in dir(kind) if not name.startswith("_")} == names


def test_the_readme_names_every_method() -> None:
    text = README.read_text(encoding="utf-8")
    assert [name for name in sorted(INSTANCE) if not re.search(rf"\b{name}\b", text)] == []


async def test_a_misspelt_filter_is_a_type_error() -> None:
    client = Client()
    with pytest.raises(TypeError, match="capabilty"):
        await client.discover(capabilty="x")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="health"):
        client.watch(health="healthy")  # type: ignore[call-arg]


def test_members_that_this_version_does_not_know_are_left_out() -> None:
    names = {each.name for each in InstanceRecord.__dataclass_fields__.values()}
    value = dict.fromkeys(names) | {
        "capabilities": ["a"],
        "registered_at": "2026-11-22T09:56:27.880000+00:00",
        "new": 1,
    }
    record = InstanceRecord.from_json(value)
    assert (record.capabilities, record.tags) == (("a",), ())
    assert record.registered_at is not None and record.registered_at.year == 2026
    assert Registration.__dataclass_fields__.keys() >= {"registration_id", "epoch"}
