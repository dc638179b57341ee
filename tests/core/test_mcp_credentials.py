"""Which server an entry is for."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from robyn_server.core.errors import Invalid
from robyn_server.core.mcp_credentials import CredentialEntry, CredentialKind, StoredEntry, choose, server_url

A, B = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("https://Tools.Example", "https://tools.example/mcp"),
        ("https://tools.example:443/mcp/", "https://tools.example/mcp"),
        (" http://127.0.0.1:80/a?b=1 ", "http://127.0.0.1/a?b=1"),
        ("http://[::1]:8000/mcp", "http://[::1]:8000/mcp"),
        ("https://tools.example:8443/", "https://tools.example:8443/mcp"),
    ],
)
def test_spellings_of_one_server_are_one_server(text: str, same: str):
    assert server_url(text) == server_url(same) == same


@pytest.mark.parametrize(
    "text",
    [
        "ftp://a/mcp",
        "a",
        "https://",
        "https://u:p@a/mcp",
        "https://a/#x",
        "http://[",
        "https://a:99999/",
        "https://a/" + "x" * 2048,
    ],
)
def test_what_is_no_url_of_a_server_is_refused(text: str):
    with pytest.raises(Invalid) as refused:
        server_url(text)
    assert refused.value.field == "url"


def test_an_entry_of_the_organization_wins_and_one_of_another_is_not_used():
    mine, theirs, everybodys = (_stored(each) for each in (A, B, None))
    for order in ([mine, everybodys, theirs], [theirs, everybodys, mine], [everybodys, mine]):
        assert choose(order, A) == {"https://a/mcp": mine}
    assert choose([theirs, everybodys], A) == {"https://a/mcp": everybodys}
    assert choose([theirs, mine], None) == {}


def _stored(organization: UUID | None) -> StoredEntry:
    entry = CredentialEntry(organization, "https://a/mcp", CredentialKind.STORED, {})
    return StoredEntry(entry, b"", datetime.now(UTC), "test")
