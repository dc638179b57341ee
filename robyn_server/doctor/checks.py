"""One line of what the doctor says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from robyn_server.core.errors import AgenthallError


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    passed: bool
    text: str


def check(name: str, look: Callable[[], str]) -> Check:
    """What `look` returns; failed with what it raises, when that is an error that is told to people."""
    try:
        return Check(name, passed=True, text=look())
    except AgenthallError as error:
        return Check(name, passed=False, text=str(error))


def check_async(name: str, look: Coroutine[Any, Any, str]) -> Check:
    return check(name, lambda: asyncio.run(look))


def table(checks: list[Check]) -> str:
    """One line per check."""
    width = max(len(one.name) for one in checks)
    return "\n".join(f"{'ok  ' if one.passed else 'FAIL'}  {one.name:<{width}}  {one.text}" for one in checks)
