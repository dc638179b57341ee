"""Whether JSON text holds the character NUL, and where. `tests/web/schemas/test_fields.py` asks about whole bodies."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robyn_server.core.json.nul import has_nul, path_to_nul, without_nul

TEXT = st.text(st.sampled_from(["\0", "\\", "u", "0", '"', "[", "x"]), max_size=12)


@given(st.recursive(TEXT, lambda each: st.lists(each, max_size=3) | st.dictionaries(TEXT, each, max_size=3)))
def test_a_text_holds_it_where_its_value_does(value: Any) -> None:
    assert has_nul(orjson.dumps(value)) == (path_to_nul(value) is not None)


@pytest.mark.parametrize(
    ("text", "holds"), [(rb'"C:\\u0000dir"', False), (rb'"C:\u0000"', True), (rb'"\\\u0000"', True)]
)
def test_a_backslash_that_is_escaped_escapes_nothing(text: bytes, holds: bool) -> None:
    assert has_nul(text) is holds


def _without(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    return [_without(each) for each in value]


@given(st.recursive(TEXT, lambda each: st.lists(each, max_size=3)))
def test_it_is_removed_and_nothing_else(value: Any) -> None:
    assert orjson.loads(without_nul(orjson.dumps(value))) == _without(value)


def test_it_is_found_beside_an_integer_of_any_size() -> None:
    assert path_to_nul({"a": [2**80, {"b": [2**80, "\0"]}]}) == ["a", "1", "b", "1"]
