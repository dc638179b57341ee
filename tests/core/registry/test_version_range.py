"""Ranges of versions, against semver's own order."""

from __future__ import annotations

import operator
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from semver import Version

from robyn_server.core.errors import Invalid
from robyn_server.core.registry.version_range import find_version, parse_version_range

NUMBER = st.integers(0, 3) | st.integers(0, 10**18 - 1)
WORD = st.from_regex(r"(0|[1-9][0-9]{0,17}|[0-9]*[A-Za-z-][0-9A-Za-z-]{0,5})", fullmatch=True)
PRERELEASE = st.lists(WORD, min_size=1, max_size=3).map(".".join)
VERSION = st.builds(Version, NUMBER, NUMBER, NUMBER, st.none() | PRERELEASE, st.none() | st.just("build.7"))
COMPARE = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "=": operator.eq,
    "==": operator.eq,
}
COMPARATOR = st.tuples(st.sampled_from(list(COMPARE)), VERSION)


@given(st.lists(COMPARATOR, min_size=1, max_size=4), VERSION)
def test_a_range_holds_what_all_of_its_comparators_hold(
    comparators: list[tuple[str, Version]], version: Version
) -> None:
    text = ", ".join(f"{sign}{bound}" for sign, bound in comparators)
    expected = all(COMPARE[sign](version, bound) for sign, bound in comparators)
    assert parse_version_range(text).contains(str(version)) is expected


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">=1.2,<2", ["1.2", "v1.2.0", "1.99.1", "2.0.0-rc.1"], ["1.1.9", "2", "1.2.0-rc.1", "nightly", ""]),
        ("1.2", ["1.2.0", "1.2.0+build"], ["1.2.1"]),
        (" >= v1 ,\t< 3 ", ["1", "2.9"], ["3"]),
        (">2,<1", [], ["1", "1.5", "2"]),
        (">=1,>1,<=2,<2", ["1.5"], ["1", "2"]),
    ],
)
def test_what_lies_within(text: str, inside: list[str], outside: list[str]) -> None:
    found = parse_version_range(text)
    assert [each for each in inside if not found.contains(each)] == []
    assert [each for each in outside if found.contains(each)] == []
    assert not found.contains(None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        ">=",
        "1.x",
        "*",
        "^1",
        "~1.2",
        "!=1",
        "1 2",
        ">=1 <2",
        "1||2",
        "1.2.3.4",
        "01.2",
        ">1,",
        "9" * 19,
        "١.٢",
        ",".join("1" * 17),
    ],
)
def test_what_is_not_supported_is_refused_clearly(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_version_range(text)
    assert caught.value.field == "version"


def test_a_long_text_takes_no_long_time() -> None:
    began = time.process_time()
    for text in ("+" * 100_000 + "x", " " * 100_000 + "x", "1" + " " * 100_000 + "x", ">= " * 30_000):
        with pytest.raises(Invalid):
            parse_version_range(text)
    assert time.process_time() - began < 2, "it took minutes when it looked again from every blank"


def test_what_is_no_version_is_none() -> None:
    assert [find_version(text) for text in ("nightly", "1.", "-1", "1.2.3-", "1.2.3-01")] == [None] * 5
