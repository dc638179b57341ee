"""A handler's filter becomes a condition, or is refused."""

from __future__ import annotations

import json

import pytest

from robyn_server.core.access.grants import Condition, Grants, parse_filter


@pytest.mark.parametrize(
    ("given", "contains", "equals"),
    [
        ({"owner": "ada"}, {"owner": "ada"}, {}),
        ({"owner": {"$eq": "ada"}, "team": 1}, {"owner": "ada", "team": 1}, {}),
        ({"owner": None}, {"owner": None}, {}),
        ({"members": {"$contains": "ada"}}, {"members": ["ada"]}, {}),
        ({"members": {"$contains": ["ada", "bob"]}}, {"members": ["ada", "bob"]}, {}),
        ({"members": {"$eq": ["ada"]}}, {"members": ["ada"]}, {"members": ["ada"]}),
        ({"place": {"$eq": {"city": "Rome"}}}, {"place": {"city": "Rome"}}, {"place": {"city": "Rome"}}),
        ({"members": {"$contains": "ada", "$eq": "ada"}}, {"members": ["ada"]}, {"members": "ada"}),
        ({"members": {"$eq": ["ada", "bob"], "$contains": "ada"}}, {"members": ["ada"]}, {"members": ["ada", "bob"]}),
    ],
)
def test_a_filter_compares_members_of_the_metadata(given: dict[str, object], contains: object, equals: object) -> None:
    condition = parse_filter(given)
    assert (json.loads(condition.contains), json.loads(condition.equals)) == (contains, equals)


@pytest.mark.parametrize(
    "given",
    [{"owner": {"$ne": "ada"}}, {"owner": {}}, {"owner": {"city": "Rome"}}, {"$or": [{"owner": "ada"}]}, {1: "ada"}],
)
def test_another_filter_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="operator"):
        parse_filter(given)


def test_a_second_filter_narrows_the_first() -> None:
    one, two = parse_filter({"a": 1}), parse_filter({"b": 2})
    grants = Grants().narrowed("threads", (one,)).narrowed("threads", (two,)).narrowed("threads", (one,))
    assert grants.threads == (one, two)
    assert grants.assistants is None


def test_a_resource_without_a_decision_is_closed() -> None:
    assert json.loads(Grants(threads=()).to_json()) == {"threads": []}
    own = json.loads(Grants(assistants=(Condition(own="ada", defaults=True),)).to_json())
    assert own == {"assistants": [{"contains": {}, "equals": {}, "own": "ada", "defaults": True}]}
