"""Find the character NUL in request bodies."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robyn_server.core.errors import Invalid
from robyn_server.core.json.nul import path_to_nul
from robyn_server.web.http.validation import parse_body
from robyn_server.web.schemas.fields import Body


class Anything(Body):
    metadata: Any = None


CLEAN = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
NAME = st.text(st.characters(exclude_characters="\0.", exclude_categories=["Cs"]), min_size=1, max_size=8)
"""No dots in names, so that a path is read in one way only."""
LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | CLEAN
    | st.just("\\u0000")
)
VALUE = st.recursive(LEAF, lambda each: st.lists(each, max_size=3) | st.dictionaries(NAME, each, max_size=3))


@st.composite
def hidden(draw: st.DrawFn) -> tuple[Any, list[str]]:
    """A value with one NUL in it, and the way there."""
    value: Any = draw(CLEAN) + "\0" + draw(CLEAN)
    path: list[str] = []
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.booleans()):
            before = draw(st.lists(VALUE, max_size=3))
            path.insert(0, str(len(before)))
            value = [*before, value, *draw(st.lists(VALUE, max_size=2))]
        else:
            name = draw(NAME)
            path.insert(0, name)
            value = {**draw(st.dictionaries(NAME, VALUE, max_size=3)), name: value}
    return value, path


@settings(deadline=None)
@given(hidden())
def test_wherever_nul_is_its_field_is_named(found: tuple[Any, list[str]]) -> None:
    value, path = found
    with pytest.raises(Invalid) as caught:
        parse_body(Anything, orjson.dumps({"metadata": value}))
    field = ".".join(["metadata", *path])
    assert (caught.value.code, caught.value.field) == ("nul", field)
    assert str(caught.value) == rf"{field}: Text must not contain the character NUL (\u0000)"


@settings(deadline=None)
@given(VALUE)
def test_where_none_is_nothing_is_found(value: Any) -> None:
    assert path_to_nul(value) is None
    assert parse_body(Anything, orjson.dumps({"metadata": value})) == Anything(metadata=value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": {"b\0": {"c": "\0"}}}, ["a", r"b\u0000"]),
        ({"a": "\0", "b": "\0"}, ["a"]),
        ([1, "x", ["\0"]], ["2", "0"]),
        ({"x" * 100: "\0"}, ["x" * 64]),
        ("\0", []),
    ],
)
def test_a_name_may_hold_it_the_first_counts_and_long_names_are_cut(value: Any, path: list[str]) -> None:
    assert path_to_nul(value) == path
