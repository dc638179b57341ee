"""Colours of the lines that `agenthall doctor` prints."""

from __future__ import annotations

import re

from robyn_server.terminal import styled

_STYLES = {"ok": "green", "WARN": "bold yellow", "FAIL": "bold red"}
_RESULT = re.compile(r"^(ok|WARN|FAIL)(?= )", re.MULTILINE)


def with_colours(table: str) -> str:
    """Colour the result at the beginning of each line, on a terminal."""
    return _RESULT.sub(lambda found: styled(found[1], _STYLES[found[1]]), table)
