"""Colours and characters of a terminal."""

from __future__ import annotations

import io

import pytest

from robyn_server.terminal import has_colour, printable, styled


class _Stream(io.StringIO):
    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize(
    ("variable", "value", "is_terminal", "colour"),
    [
        ("NO_COLOR", "", True, True),
        ("NO_COLOR", "1", True, False),
        ("TERM", "dumb", True, False),
        ("TERM", "xterm-256color", True, True),
        ("TERM", "xterm-256color", False, False),
    ],
)
def test_a_terminal_that_wants_colours_gets_them(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, is_terminal: bool, colour: bool
) -> None:
    monkeypatch.setenv(variable, value)
    stream = _Stream(is_terminal=is_terminal)
    assert has_colour(stream) is colour
    assert styled("x", "bold red", stream) == ("\x1b[1;31mx\x1b[0m" if colour else "x")


def test_text_without_a_style_stays_as_it_is() -> None:
    assert styled("x", "", _Stream(is_terminal=True)) == "x"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b]0;title\x07\r\b", "\ufffd]0;title\ufffd\ufffd\ufffd"),
        ("c1 \x9b31m", "c1 \ufffd31m"),
        (
            "family \U0001f468\u200d\U0001f469, one\u2028two, 你好",
            "family \U0001f468\u200d\U0001f469, one\u2028two, 你好",
        ),
    ],
)
def test_only_control_characters_are_replaced(text: str, shown: str) -> None:
    assert printable(text) == shown
