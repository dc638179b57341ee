"""JSON with integers of any size."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robyn_server.core.json.canonical import canonical_json
from robyn_server.core.json.exact_json import MAX_DIGITS, IntegerTooLong, dumps, loads


def str_of(number: int) -> str:
    return f"{number:.4e}" if abs(number) < 10**300 else "long"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.integers(min_value=-(2**200), max_value=2**200),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_a_value_is_read_as_it_was_written(value: Any) -> None:
    assert loads(dumps(value)) == value
    assert loads(json.dumps(value)) == value
    assert loads(canonical_json(value)) == value


@pytest.mark.parametrize(
    "number", [2**64, 2**64 - 1, -(2**63), -(2**63) - 1, 10**30, -(10**30), 10 ** (MAX_DIGITS - 1)], ids=str_of
)
def test_an_integer_stays_an_integer(number: int) -> None:
    read = loads(b'{"a": [%s]}' % str(number).encode())["a"][0]
    assert type(read) is int and read == number
    assert dumps([number]) == b"[%s]" % str(number).encode()


@pytest.mark.parametrize(
    "text", [b"1e30", b"1.5", b'"18446744073709551616"', b"12345678901234567890.5", b"1" * 20 + b"e2"]
)
def test_other_values_are_read_as_before(text: bytes) -> None:
    assert loads(text) == orjson.loads(text) and type(loads(text)) is type(orjson.loads(text))


def test_an_integer_of_too_many_digits_is_refused_by_name() -> None:
    with pytest.raises(IntegerTooLong, match=r"^a\.1\.b: .*4300 digits$") as caught:
        loads(b'{"c": %d, "a": [0, {"b": -%s}]}' % (10**30, b"9" * 5000))
    assert caught.value.field == "a.1.b"


AFTER_A_LONG_ONE = [b"[%s, %s]" % (b"9" * 400, rest) for rest in (rb'"\ud800"', b"NaN", b"1e999", b'"\xff"', b"")]


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[%d" % 10**30, b'{"a": %d, "b": NaN}' % 10**30, b"\xff", *AFTER_A_LONG_ONE]
)
def test_text_that_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        loads(text)


def test_deep_text_with_a_large_integer_is_read() -> None:
    assert loads(b"[" * 1000 + str(10**30).encode() + b"]" * 1000)


def test_the_types_that_orjson_writes_are_written_beside_a_large_integer() -> None:
    value = {"n": 10**30, "at": datetime(2026, 1, 1, tzinfo=UTC), "id": UUID(int=1), "other": object}
    beside = {key: each for key, each in value.items() if key != "n"}
    assert {**orjson.loads(dumps(beside, default=str)), "n": 10**30} == loads(dumps(value, default=str))
    with pytest.raises(TypeError):
        dumps({"n": 10**30, "other": object})
