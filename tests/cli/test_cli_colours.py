"""Colours of commands in a terminal, and their absence elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from commands.command_line import agenthall
from commands.pseudo_terminal import PseudoTerminal, pseudo_terminal

from robyn_server.cli.agents.format import event_head, event_line

pytestmark = pytest.mark.server

_DEAD = {"DATABASE_URL": "postgresql://me@127.0.0.1:1/agents"}


def ended(terminal: PseudoTerminal, code: int = 0) -> str:
    assert terminal.ended() == code, terminal.plain
    return terminal.said


def test_doctor_shows_what_failed_at_a_glance() -> None:
    with pseudo_terminal("doctor", "--port", "0", environment=_DEAD) as terminal:
        said = ended(terminal, 1)
    assert "\x1b[32mok\x1b[0m    settings" in said and "\x1b[1;31mFAIL\x1b[0m  database" in said


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_doctor_has_no_colours_on_request(environment: dict[str, str]) -> None:
    with pseudo_terminal("doctor", "--port", "0", environment={**_DEAD, **environment}) as terminal:
        assert "\x1b" not in ended(terminal, 1)


def test_doctor_has_no_colours_in_a_pipe() -> None:
    said = agenthall("doctor", "--port", "0", **_DEAD)
    assert (said.returncode, "\x1b" in said.stdout, "FAIL  database" in said.stdout) == (1, False, True)


@pytest.mark.parametrize("columns", [60, 120])
def test_help_has_colours_and_fits_the_terminal(columns: int) -> None:
    with pseudo_terminal("chat", "--help", environment={}, columns=columns) as terminal:
        said, plain = ended(terminal), terminal.plain
    assert "\x1b[1;36m" in said and "--once" in plain
    assert max(map(len, plain.splitlines())) <= columns


def test_help_loses_nothing_to_markup() -> None:
    with pseudo_terminal("sync", "--help", environment={}, columns=200) as terminal:
        ended(terminal)
    assert "org:<uuid>[,org:<uuid>]" in terminal.plain


def test_help_is_plain_without_a_terminal_or_colours() -> None:
    assert "\x1b" not in agenthall("--help").stdout
    with pseudo_terminal("--help", environment={"NO_COLOR": "1"}) as terminal:
        assert "\x1b" not in ended(terminal)


def test_the_first_start_of_the_database_shows_its_progress(tmp_path: Path) -> None:
    with pseudo_terminal("keys", "list", "--data-dir", str(tmp_path / "data"), environment={}) as terminal:
        said = ended(terminal, 2)
    bars = [line for line in said.split("\r\x1b[K") if line.startswith("creating the database")]
    assert bars[0].endswith("  0%") and bars[-1].endswith("100%") and len(bars) > 5
    assert said.split("\r\x1b[K")[-1].startswith("agenthall: the database has no schema")


def _event(kind: str, **instance: Any) -> dict[str, Any]:
    ids = {"agent_id": "bot", "registration_id": "r", "at": "2026-01-01T00:00:00+00:00"}
    return {"kind": kind, **ids, "instance": {"instance_id": "i", "registration_status": "active", **instance}}


def test_events_that_need_attention_look_unlike_others(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ("registered", "updated", "draining", "disconnected", "stale", "deregistered")
    events = [_event(kind, health_status="stale" if kind == "stale" else "healthy") for kind in kinds]
    plain = [event_line(event) for event in events]
    monkeypatch.setattr("robyn_server.terminal.has_colour", lambda _: True)
    coloured = [event_line(event) for event in events]
    styles = {line.partition("  ")[2].partition("m")[0] for line in coloured}
    assert len(styles) == len(kinds), styles
    assert coloured[4].count("\x1b[31m") == 1 and "\x1b[1;31mstale" in coloured[4]
    for line, same in zip(coloured, plain, strict=True):
        assert "\x1b" not in same
        assert _without_styles(line) == same
    assert "\x1b[1m" in event_head()


def test_the_health_after_a_dropped_connection_is_unknown() -> None:
    words = event_line(_event("disconnected", health_status="healthy")).split()
    assert words[-4:-2] == ["active", "unknown"]
    assert "healthy" in event_line(_event("reconnected", health_status="healthy"))


def _without_styles(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)
