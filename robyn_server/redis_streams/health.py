"""Whether Redis answers, as this process knows it: by pings, and by the calls that failed."""

from __future__ import annotations

import structlog

from robyn_server.concurrency.periodic import Periodic
from robyn_server.core.errors import AgenthallError
from robyn_server.metrics.definitions import REDIS_ERRORS, REDIS_UP

from .streams import RunEventStreams

_PING_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class RedisHealth:
    """`is_up`: of the last call or ping. A call that failed sets it down, and only a ping sets it up again."""

    def __init__(self, streams: RunEventStreams, *, is_up: bool) -> None:
        self.is_up = is_up
        self._streams = streams
        self._pings = Periodic("pings of Redis", self.check, _PING_SECONDS)

    def start(self) -> None:
        REDIS_UP.set_function(lambda: self.is_up)
        self._pings.start()

    async def stop(self) -> None:
        await self._pings.stop()

    async def check(self) -> None:
        try:
            await self._streams.ping()
        except AgenthallError as error:
            self.report_failure(error)
        else:
            if not self.is_up:
                _log.info("redis answers again")
            self.is_up = True

    def report_failure(self, error: AgenthallError) -> None:
        """Count a failed call. The first of several is logged."""
        REDIS_ERRORS.inc()
        if self.is_up:
            _log.warning("redis does not answer; run events go to PostgreSQL until it does", error=error.detail)
        self.is_up = False
