"""Objects of JSON that have a key twice are found, however they are written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robyn_server.core.json import exact_json
from robyn_server.core.json.duplicate_keys import find_duplicate_key


def found(text: str) -> str | None:
    return find_duplicate_key(text.encode(), exact_json.loads(text))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"a": 1, "a": 2}', "a"),
        ('{"a":1,"a":2}', "a"),
        ('{"a":100000000000000000000000,"a":2}', "a"),
        ('{"b":-100000000000000000000000,"a":1,"a":2}', "a"),
        ('[{"x": {"b": 1, "b" : 1}}]', "b"),
        ('{"a" : 1, "a":2}', "a"),
        ('{"a":"\\u0022:","b":1,"b":2}', "b"),
        ('{"a":1,"\\u0061":2}', "a"),
        ('{"":1,"":2}', ""),
        ('{"a":{"a":{"a":1}},"a":{}}', "a"),
        ('{"\\"":1,"\\"":2}', '"'),
        ('{"a\\\\":1,"a\\\\":2}', "a\\"),
        ('{"a":"\\":\\":","b":[],"b":[]}', "b"),
        ('{"\\u0000":1,"\\u0000":2}', "\\u0000"),
    ],
)
def test_a_key_that_is_there_twice_is_named(text: str, key: str) -> None:
    assert found(text) == key


@pytest.mark.parametrize(
    "text",
    [
        '{"a":{"a":1},"b":{"a":1}}',
        '[{"a":1},{"a":1}]',
        '{"a":"\\"a\\":1,\\"a\\":2"}',
        '"a:b"',
        "1",
        '{"a":":","b":"\\u003a"}',
    ],
)
def test_equal_keys_of_different_objects_and_text_are_no_duplicates(text: str) -> None:
    assert found(text) is None


_VALUES: Any = st.recursive(
    st.none() | st.integers(-5, 5) | st.text(st.sampled_from('a":\\ \n{},é\0')),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.sampled_from('ab":\\'), max_size=2), inner),
    max_leaves=12,
)


@given(_VALUES, st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")]), st.booleans())
def test_no_value_without_duplicates_is_refused_however_it_is_written(
    value: Any, separators: tuple[str, str], ascii_only: bool
) -> None:
    assert found(json.dumps(value, separators=separators, ensure_ascii=ascii_only)) is None


@given(_VALUES, _VALUES, st.text(st.sampled_from('ab":\\'), max_size=3), st.sampled_from([":", ": ", " :"]))
def test_a_duplicate_is_found_beside_any_values(one: Any, other: Any, key: str, colon: str) -> None:
    pairs = [f"{json.dumps(key)}{colon}{json.dumps(each, separators=(',', colon))}" for each in (one, other)]
    assert found("{" + ",".join(pairs) + "}") == key
