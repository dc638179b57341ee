"""Event ids."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from robyn_server.core.runs import RunEvent, parse_event_id


@given(st.integers(1, 10**6), st.integers(0, 10**9 - 1))
def test_an_event_id_leads_back_to_its_seq(attempt: int, seq: int) -> None:
    assert parse_event_id(RunEvent(seq, attempt, "values", "{}").event_id) == seq


def test_minus_one_means_from_the_beginning() -> None:
    assert parse_event_id("-1") == -1


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    found = parse_event_id(text)
    assert found is None or found >= -1
