"""The head of the banner on terminals of any width."""

from __future__ import annotations

import re

import pytest

from robyn_server.supervisor.output.banner_layout import chat_row, render_head

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_AGENTS = "5 from the catalogue (Copy Editor, Document Finder, Legal Researcher, Managing Editor, Slow Thinker)"
ROWS = [("server", "http://127.0.0.1:2024"), ("agents", _AGENTS), ("file", "/" + "x" * 200)]


@pytest.mark.parametrize("columns", [60, 80, 110, 300])
def test_lines_fit_the_terminal_and_no_word_is_broken(columns: int) -> None:
    lines = _STYLE.sub("", render_head(ROWS, "0.1.0", colour=True, columns=columns)).splitlines()
    assert all(len(line) <= min(columns, 110) for line in lines if "xxx" not in line)
    assert len(lines[0]) == min(columns, 110) and lines[0].endswith(" 0.1.0")
    assert "/" + "x" * 200 in "\n".join(lines)
    assert " ".join(line.removeprefix("│").strip() for line in lines[2:5]).startswith(f"agents     {_AGENTS}"[:60])


@pytest.mark.parametrize("columns", [None, 20, 59])
def test_without_room_or_terminal_the_lines_are_plain(columns: int | None) -> None:
    text = render_head(ROWS, "0.1.0", colour=False, columns=columns)
    assert text.startswith("Agenthall is ready.\n\n  server     http://127.0.0.1:2024\n")
    assert _AGENTS in text and "│" not in text and "\x1b" not in text


def test_colours_are_left_out_on_request() -> None:
    assert "\x1b" not in render_head(ROWS, "0.1.0", colour=False, columns=80)
    assert "\x1b" in render_head(ROWS, "0.1.0", colour=True, columns=80)


def test_names_of_agents_do_not_control_the_terminal() -> None:
    rows = [("agents", "a\x1b]0;title\x07\nb"), *chat_row(["x\x1b[2J"], "")]
    text = render_head(rows, "0.1.0", colour=False, columns=80)
    assert "\x1b" not in text and "\x07" not in text and text.count("\n") == 3


def test_the_command_names_the_preferred_agent_or_the_first() -> None:
    names = ["Ada", "Legal Researcher"]
    assert chat_row(names, "Legal Researcher")[0][1].endswith("chat 'Legal Researcher'")
    assert chat_row(names, "Nobody")[0][1].endswith("chat Ada")
    assert chat_row([], "Ada") == []
