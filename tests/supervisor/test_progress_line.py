"""The progress bar of work before anything is logged."""

from __future__ import annotations

import io
import pty

import pytest
from commands.pseudo_terminal import until_closed

from robyn_server.supervisor.output.progress_line import progress_line


def _drawn(*steps: float) -> str:
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as terminal, progress_line(terminal) as on_progress:  # noqa: PTH123
        for share in steps:
            on_progress("making it", share)
    return b"".join(until_closed(ours)).decode()


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_the_bar_grows_in_one_line_and_is_removed() -> None:
    shown = _drawn(0, 0.5, 1, 7)
    assert [line.rstrip()[-4:] for line in shown.split("\r\x1b[K")[1:-1]] == ["  0%", " 50%", "100%", "100%"]
    assert [line.count("━") for line in shown.split("\r\x1b[K")[1:-1]] == [0, 15, 30, 30]
    assert "\n" not in shown and shown.endswith("\r\x1b[K")


def test_the_bar_fits_a_narrow_terminal_and_has_no_colour_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    monkeypatch.setenv("NO_COLOR", "1")
    line = _drawn(1).split("\r\x1b[K")[1]
    assert len(line) <= 24 and "\x1b" not in line


def test_without_work_or_a_terminal_nothing_is_written() -> None:
    stream = io.StringIO()
    with progress_line(stream) as on_progress:
        on_progress("making it", 0.5)
    assert stream.getvalue() == ""
