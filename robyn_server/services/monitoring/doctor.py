"""Use case of the checks of `agenthall doctor`, for administrators.

Rules
- The checks run in a process of their own: they load graphs and models, and may block. The process has a deadline.
- One process runs at a time. Callers share it, and its answer for SECONDS.
- No answer has a secret of the environment, whatever a library writes into its errors.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
import structlog

from robyn_server.concurrency.ttl_cache import TtlCache
from robyn_server.core.access.permissions import Operation, require
from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Unavailable

SECONDS = 5.0
DEADLINE = 60.0
SHORTEST_SECRET = 6
"""Characters. A shorter value would be found in any text."""

_NAMES = re.compile("KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL", re.IGNORECASE)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DoctorCommand:
    """`arguments`: of a program that prints the checks as JSON. `environment`: its whole environment."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


class DoctorService:
    def __init__(self, command: DoctorCommand, *, deadline: float = DEADLINE) -> None:
        self._command = command
        self._deadline = deadline
        self._answers = TtlCache(self._run, seconds=SECONDS, max_size=1)

    async def check(self, principal: Principal) -> Mapping[str, Any]:
        """Return `passed`, and `checks` with name, passed and text. Raises Forbidden, Unavailable."""
        require(principal, Operation.DOCTOR_READ)
        return await self._answers.get(None)

    async def _run(self, _key: None) -> Mapping[str, Any]:
        printed = await self._printed()
        try:
            found: dict[str, Any] = orjson.loads(printed)
        except orjson.JSONDecodeError:
            _log.error("the checks of doctor printed no JSON", bytes=len(printed))
            raise Unavailable("The checks could not be run. The server's log says why.") from None
        secrets = _secrets_of(self._command.environment)
        checks = [{**each, "text": _without(secrets, each["text"])} for each in found["checks"]]
        return {"passed": found["passed"], "checks": checks}

    async def _printed(self) -> bytes:
        """Return what the program prints. Raises Unavailable after the deadline."""
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            *self._command.arguments,
            env=dict(self._command.environment),
            stdin=null,
            stdout=pipe,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._deadline):
                printed, _ = await process.communicate()
        except TimeoutError:
            raise Unavailable(f"The checks did not end within {self._deadline:g} seconds.") from None
        finally:
            await _end(process)
        return printed


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the program and what it started, unless it has ended."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _without(secrets: Sequence[str], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "[secret]")
    return text


def _secrets_of(environment: Mapping[str, str]) -> list[str]:
    """The secrets of the environment, in the forms in which they may be printed, the longest first."""
    found = {each for name, value in environment.items() for each in _secrets(name, value)}
    return sorted((each for each in found if len(each) >= SHORTEST_SECRET), key=len, reverse=True)


def _secrets(name: str, value: str) -> Iterator[str]:
    if "://" in value:
        with suppress(ValueError):
            password = urlsplit(value).password or ""
            yield from (password, unquote(password))
    if _NAMES.search(name):
        yield value
