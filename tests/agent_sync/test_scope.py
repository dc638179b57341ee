"""AGENT_SYNC_SCOPE."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robyn_server.agent_sync import AgentSyncScope, parse_agent_sync_scope

FIRST, SECOND = UUID(int=1), UUID(int=2)
spaces = st.text(" \t", max_size=3)
prefixes = st.sampled_from(["org:", "ORG:", "Org:", "oRg: ", "org :"])


@pytest.mark.parametrize("text", [None, "", "  ", ",", " , ,", "none", "NONE", " none ,"])
def test_nothing_and_none_are_the_empty_scope(text):
    assert parse_agent_sync_scope(text) == AgentSyncScope("none", [])


@pytest.mark.parametrize("text", ["all", "ALL", " all ", "all,", ",All"])
def test_all_is_every_organization(text):
    assert parse_agent_sync_scope(text) == AgentSyncScope("all", [])


@given(ids=st.lists(st.uuids(), min_size=1, max_size=5), data=st.data())
def test_organizations_keep_their_order_and_come_once_in_whatever_spelling(ids, data):
    parts = [f"{data.draw(spaces)}{data.draw(prefixes)}{each}{data.draw(spaces)}" for each in [*ids, *ids]]
    text = data.draw(st.sampled_from([",", ",,", " , "])).join(parts)
    assert parse_agent_sync_scope(text) == AgentSyncScope("org", list(dict.fromkeys(ids)))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("some", "some"),
        ("org:", "org:"),
        ("org:nobody", "org:nobody"),
        (f"org:{FIRST},tenant:{SECOND}", f"tenant:{SECOND}"),
        (f"all,org:{FIRST}", "all"),
        (f"org:{FIRST},none", "none"),
        ("all,none", "all"),
        (str(FIRST), str(FIRST)),
    ],
)
def test_anything_else_is_an_error_that_names_the_part(text, part):
    with pytest.raises(ValueError, match="is not an org:<uuid>") as refusal:
        parse_agent_sync_scope(text)
    assert repr(part) in str(refusal.value)


@given(st.text())
def test_a_scope_or_a_value_error_comes_of_any_text(text):
    try:
        outcome = parse_agent_sync_scope(text).type
    except ValueError as refusal:
        outcome = str(refusal)
    assert outcome in {"none", "all", "org"} or "org:<uuid>" in outcome


@given(st.lists(st.uuids(), max_size=3).map(AgentSyncScope.orgs).filter(lambda scope: scope.organization_ids))
def test_a_scope_reads_back_what_it_writes(scope):
    assert parse_agent_sync_scope(str(scope)) == scope
