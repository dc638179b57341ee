"""The number of values of JSON text, counted without parsing it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools_agent.json_size import has_more_values

TEXT = st.text(st.sampled_from('a,[{:"\\}]'), max_size=8)
VALUE = st.recursive(
    st.none() | st.integers(-9, 9) | TEXT,
    lambda each: st.lists(each, max_size=4) | st.dictionaries(TEXT, each, max_size=4),
    max_leaves=30,
)


def _count(value: Any) -> int:
    """Elements and members, and one for each list and object: the least bound that needs no parsing."""
    if isinstance(value, dict):
        return max(len(value), 1) + sum(map(_count, value.values()))
    if isinstance(value, list):
        return max(len(value), 1) + sum(map(_count, value))
    return 0


@given(VALUE)
def test_commas_and_brackets_within_strings_do_not_count(value: Any) -> None:
    text, count = orjson.dumps(value), _count(value)
    assert not has_more_values(text, count)
    assert count == 0 or has_more_values(text, count - 1)


@pytest.mark.parametrize(
    "text", [b'"' * 1000, b'\\"' * 1000 + b"," * 1000, b'","' * 1000, b"", b"{", b'"\\', b"," * 1000]
)
def test_text_that_is_no_json_is_counted_all_the_same(text: bytes) -> None:
    assert has_more_values(text, 10) in (True, False)
