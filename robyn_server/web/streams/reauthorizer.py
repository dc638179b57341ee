"""Authorizes open streams again, and ends those that their client could not open now.

Rules
  1. A check is that of a new request: the same headers, and the scope of the same route. Answers may be cached, so a
     check costs a dictionary lookup or the verification of a signature.
  2. Access to the stream's subject is checked only when the principal has changed (`Stream.permits`).
  3. An expired token ends endless streams (watches) only. A run was started or joined with a valid token, and its
     stream is read to the end: runs may last longer than tokens. A 401 of a project's handler counts as an expired
     token.
  4. A check without an answer ends nothing: a stream is not closed because the database is unavailable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson
import structlog

from robyn_server.core.errors import AgenthallError, Forbidden, NotFound, Refused, Unauthenticated
from robyn_server.core.http_status import status_of
from robyn_server.web.http.messages import JSON
from robyn_server.web.http.problems import problem
from robyn_server.web.http.sse import frame

from .authorization import StreamAuthorization
from .open_streams import OpenStream, OpenStreams

log = structlog.get_logger(__name__)

CHECK_INTERVAL_SECONDS = 1.0
"""The longest delay of a check that is due."""

CHECK_TIMEOUT_SECONDS = 10.0
"""After this, a check counts as without an answer."""

_UNAUTHORIZED = 401
_DENIED = frozenset({_UNAUTHORIZED, 403, 404})
DENIALS = (Unauthenticated, Forbidden, NotFound)
"""Errors that deny access, as a handler's refusal with such a status does; any other error means that the check had no
answer."""


class StreamReauthorizer:
    """Checks each of `streams` every `seconds`."""

    def __init__(self, streams: OpenStreams, seconds: float) -> None:
        self._streams = streams
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Check until the process ends."""
        self._task = asyncio.create_task(self._forever(), name="stream reauthorizer")

    async def _forever(self) -> None:
        while True:
            await asyncio.sleep(min(CHECK_INTERVAL_SECONDS, self._seconds))
            await self.check()

    async def check(self) -> None:
        """Check the streams that are due, concurrently."""
        now = asyncio.get_running_loop().time()
        due = [(each, right) for each in self._streams if (right := each.authorization) and self._is_due(right, now)]
        unanswered = await asyncio.gather(*(self._check_stream(opened, right, now) for opened, right in due))
        _log_unanswered([reason for reason in unanswered if reason is not None])

    def _is_due(self, authorization: StreamAuthorization, now: float) -> bool:
        return now - authorization.verified_at >= self._seconds

    async def _check_stream(self, opened: OpenStream, authorization: StreamAuthorization, now: float) -> str | None:
        """Return why the check had no answer; None when it had one."""
        authorization.verified_at = now
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                await authorization.renew(opened.stream.permits)
        except (*DENIALS, Refused) as error:
            if isinstance(error, Refused) and error.status not in _DENIED:
                return error.detail
            if _may_be_expired(error) and not opened.stream.endless:
                return None
            log.info("stream.refused", code=error.code, request_id=authorization.request_id)
            self._streams.refuse(opened, final_frame(opened.stream.media_type, error, authorization.request_id))
        except AgenthallError as error:
            return error.detail
        except TimeoutError:
            return f"no answer within {CHECK_TIMEOUT_SECONDS:g} s"
        except Exception as error:
            # The other streams are checked nevertheless.
            log.exception("stream.recheck_failed", request_id=authorization.request_id)
            return repr(error)
        return None


def _may_be_expired(error: AgenthallError) -> bool:
    """Whether a token has expired. A handler of the project does not tell why it refuses credentials."""
    return error.code == "token_expired" or (error.code == Refused.code and status_of(error) == _UNAUTHORIZED)


def _log_unanswered(reasons: Sequence[str]) -> None:
    """Log one line for all: while the database is unavailable, they have the same reason."""
    if reasons:
        log.warning("stream.credentials_unknown", streams=len(reasons), reason=reasons[-1])


def final_frame(media_type: str, error: AgenthallError, request_id: str) -> bytes:
    """The problem that a request would be answered with, plus the members that LangGraph's clients read: `error` and
    `message`."""
    body = orjson.loads(problem(error, request_id).body) | {"error": error.code, "message": error.detail}
    return orjson.dumps({"__error__": body}) if media_type == JSON else frame("error", body)
