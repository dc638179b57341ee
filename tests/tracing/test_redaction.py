"""Secrets leave the texts of errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from robyn_server.tracing import redaction
from robyn_server.tracing.redaction import redacted


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "a value of the environment")
    monkeypatch.setenv("MY_SHORT_KEY", "abc")
    redaction._secrets.cache_clear()
    yield
    redaction._secrets.cache_clear()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("refused: a value of the environment!", "refused: [redacted]!"),
        ("Incorrect API key provided: sk-proj-0123456789abcdef.", "Incorrect API key provided: [redacted]."),
        ("Authorization: Bearer eyJhbGciOi.abc.def", "Authorization: Bearer [redacted]"),
        ("postgresql://ada:hunter2hunter2@db:5432/x", "postgresql://ada:[redacted]@db:5432/x"),
        ("ahk_0123456789_abcdefghijk", "[redacted]"),
        ("the token abc is wrong", "the token abc is wrong"),
        ("no secret at all: https://example.com/a:b", "no secret at all: https://example.com/a:b"),
    ],
)
def test_a_text_is_shown_without_its_secrets(text: str, shown: str) -> None:
    assert redacted(text) == shown
