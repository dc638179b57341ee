"""Deletes entries of the audit trail that are older than the setting says.

Each batch is a statement of its own, so a large trail is not locked for long. Several workers may sweep at once.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from robyn_server.storage.audit_log import AuditLog

_BATCH = 5000
_log = structlog.get_logger(__name__)


class AuditSweeper:
    def __init__(self, log: AuditLog, keep: timedelta) -> None:
        self._audit_log = log
        self._keep = keep

    async def sweep(self) -> int:
        """Delete all entries that are too old, and return how many. Raises Unavailable."""
        total = 0
        while deleted := await self._audit_log.sweep(self._keep, _BATCH):
            total += deleted
        if total:
            _log.info("old audit entries deleted", entries=total, days=self._keep.days)
        return total
