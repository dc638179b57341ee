from __future__ import annotations

import base64
from uuid import UUID, uuid4

import pytest

from robyn_server.core.errors import Invalid
from robyn_server.sockets.resume_tokens import ResumeTokens

TENANT, REGISTRATION = uuid4(), uuid4()


def test_a_token_names_the_tenant_and_the_registration() -> None:
    tokens = ResumeTokens(b"k" * 32)
    assert tokens.read(tokens.issue(TENANT, REGISTRATION)) == (TENANT, REGISTRATION)


def test_a_token_with_any_bit_changed_is_none() -> None:
    tokens = ResumeTokens(b"k" * 32)
    raw = bytearray(base64.urlsafe_b64decode(tokens.issue(TENANT, REGISTRATION)))
    for position in range(len(raw)):
        changed = raw.copy()
        changed[position] ^= 1
        with pytest.raises(Invalid, match="resume_token"):
            tokens.read(base64.urlsafe_b64encode(bytes(changed)).decode())


def test_a_token_cannot_be_turned_to_another_tenant() -> None:
    tokens = ResumeTokens(b"k" * 32)
    raw = base64.urlsafe_b64decode(tokens.issue(TENANT, REGISTRATION))
    other = raw[:16] + UUID(int=1).bytes + raw[32:]
    with pytest.raises(Invalid):
        tokens.read(base64.urlsafe_b64encode(other).decode())


@pytest.mark.parametrize("text", ["", "x", "é", "=" * 64, "A" * 63, "A" * 64, "A" * 255])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        ResumeTokens(b"k" * 32).read(text)


def test_another_servers_token_is_refused() -> None:
    with pytest.raises(Invalid):
        ResumeTokens(b"l" * 32).read(ResumeTokens(b"k" * 32).issue(TENANT, REGISTRATION))
