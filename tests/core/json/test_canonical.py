"""Content hashes."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from robyn_server.core.json.canonical import content_hash

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        items = list(value.items())
        random.Random(7).shuffle(items)
        return {key: shuffled(each) for key, each in reversed(items)}
    return [shuffled(each) for each in value] if isinstance(value, list) else value


@given(json_values)
def test_the_order_of_keys_does_not_change_the_hash(value: Any) -> None:
    assert content_hash(value) == content_hash(shuffled(value))


@given(json_values, json_values)
def test_different_content_has_different_hashes(one: Any, other: Any) -> None:
    same = repr(shuffled(one)) == repr(shuffled(other)) or one == other
    assert (content_hash(one) == content_hash(other)) <= same
