"""A check and its result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from robyn_server.core.errors import AgenthallError


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    passed: bool
    text: str


def check(name: str, run: Callable[[], str]) -> Check:
    """Return the text of `run`, or a failed check with the text of the AgenthallError that it raises."""
    try:
        return Check(name, passed=True, text=run())
    except AgenthallError as error:
        return Check(name, passed=False, text=str(error))


def check_async(name: str, run: Coroutine[Any, Any, str]) -> Check:
    return check(name, lambda: asyncio.run(run))


def table(checks: list[Check]) -> str:
    """Return one line per check."""
    width = max(len(one.name) for one in checks)
    return "\n".join(f"{'ok  ' if one.passed else 'FAIL'}  {one.name:<{width}}  {one.text}" for one in checks)


def json_text(checks: list[Check]) -> str:
    """Return `passed`, of all of them, and the checks."""
    every = {"passed": all(one.passed for one in checks), "checks": [asdict(one) for one in checks]}
    return orjson.dumps(every).decode()
