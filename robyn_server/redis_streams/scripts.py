"""The scripts that Redis runs. `lua/<name>.lua` holds each, and says what it takes and returns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from pathlib import Path

_FOLDER = Path(__file__).parent / "lua"


@dataclass(frozen=True, slots=True)
class Script:
    """`sha`: the name by which Redis knows the script, once it has it."""

    source: str
    sha: str


@cache
def load_script(name: str) -> Script:
    source = (_FOLDER / f"{name}.lua").read_text()
    return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())
