"""The lines that are on a terminal's screen in the end, and programs in a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts.record_terminal import picture, text_of
from scripts.terminal_screen import Terminal, screen_lines


@pytest.mark.parametrize(
    ("printed", "lines"),
    [
        ("one\r\ntwo\r\n", ["one", "two"]),
        ("10%\r\x1b[K100%\r\x1b[Kdone\r\n", ["done"]),
        ("\x1b[?25lthinks\r\x1b[2Kthinks\r\n\x1b[?25h\r\x1b[1A\x1b[2Kanswer\r\n", ["answer"]),
        ("\x1b[1;32myou>\x1b[0m hello", ["\x1b[1;32myou>\x1b[0m hello"]),
        ("a\r\n\r\nb", ["a", "", "b"]),
    ],
)
def test_what_is_overwritten_is_not_shown(printed: str, lines: list[str]) -> None:
    assert screen_lines(printed) == lines


def test_a_program_reads_what_is_typed(tmp_path: Path) -> None:
    program = f'{sys.executable} -c \'print("hello", input("name? "))\''
    with Terminal.running(program, tmp_path, 80) as terminal:
        terminal.wait_for("name?")
        terminal.type("Ann\r")
        terminal.wait_for("hello Ann")
        terminal.wait_for_end()


def test_a_picture_has_the_text_and_no_address_of_another_host() -> None:
    drawn = picture("sample", "\x1b[32m$\x1b[0m one <two>\r\nthree\r\n")
    shown = " ".join(text_of(drawn)).replace("\N{NO-BREAK SPACE}", " ")
    assert shown.split() == ["agenthall", "sample", "$", "one", "<two>", "three"]
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")
