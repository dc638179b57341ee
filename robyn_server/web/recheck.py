"""Open streams are looked at again: whoever could not open one now does not go on reading it.

Rules
  1. What is asked is what a new request would be asked: the same headers, the same scope of the same route. Answers may come out of the
     identity's memory, so a look costs a lookup in a dict, or the check of a signature.
  2. What a stream shows is asked for again only when its principal is no longer as it was (`Stream.permits`).
  3. A token that runs out ends what has no end of its own, a watch. A run was begun, or joined, while it was good, and its answer is read
     to the end: tokens live shorter than runs may.
  4. Who cannot be asked about now stays. Nobody is sent away because our database is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson
import structlog

from robyn_server.core.errors import AgenthallError, Forbidden, NotFound, Unauthenticated

from .http import JSON
from .problems import problem
from .sse import frame
from .standing import Standing
from .stream import Open, Streams

log = structlog.get_logger(__name__)

ROUND_SECONDS = 1.0
"""A look is late by no more than this."""

LOOK_SECONDS = 10.0
"""Longest look at one stream; after it nobody could be asked."""

REFUSALS = (Unauthenticated, Forbidden, NotFound)
"""What says that a principal may not, or no longer see it; everything else says that we do not know."""


class Recheck:
    """Looks at each of `streams` every `seconds`."""

    def __init__(self, streams: Streams, seconds: float) -> None:
        self._streams = streams
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Goes on until the process ends."""
        self._task = asyncio.create_task(self._forever(), name="recheck of streams")

    async def _forever(self) -> None:
        while True:
            await asyncio.sleep(min(ROUND_SECONDS, self._seconds))
            await self.look()

    async def look(self) -> None:
        """One round: those whose last look is `seconds` ago, all at once, for one may have to wait."""
        now = asyncio.get_running_loop().time()
        due = [(each, right) for each in self._streams if (right := each.standing) and self._is_due(right, now)]
        unknown = await asyncio.gather(*(self._look_at(opened, right, now) for opened, right in due))
        _tell([reason for reason in unknown if reason is not None])

    def _is_due(self, standing: Standing, now: float) -> bool:
        return now - standing.looked_at >= self._seconds

    async def _look_at(self, opened: Open, standing: Standing, now: float) -> str | None:
        """Why nothing is known of it; None when that is known."""
        standing.looked_at = now
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await standing.renew(opened.stream.permits)
        except REFUSALS as error:
            if error.code == "token_expired" and not opened.stream.endless:
                return None
            log.info("stream.refused", code=error.code, request_id=standing.request_id)
            self._streams.refuse(opened, last_words(opened.stream.media_type, error, standing.request_id))
        except AgenthallError as error:
            return error.detail
        except TimeoutError:
            return f"no answer within {LOOK_SECONDS:g} s"
        except Exception as error:
            # Whatever is the matter with one stream, the others are looked at.
            log.exception("stream.recheck_failed", request_id=standing.request_id)
            return repr(error)
        return None


def _tell(reasons: Sequence[str]) -> None:
    """One line for a round: while the database is away, all of them say the same."""
    if reasons:
        log.warning("stream.credentials_unknown", streams=len(reasons), reason=reasons[-1])


def last_words(media_type: str, error: AgenthallError, request_id: str) -> bytes:
    """The problem that a request would get, with the names that LangGraph's clients look for: `error` and `message`."""
    told = orjson.loads(problem(error, request_id).body) | {"error": error.code, "message": error.detail}
    return orjson.dumps({"__error__": told}) if media_type == JSON else frame("error", told)
