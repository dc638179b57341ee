"""Settings of the audit trail."""

from __future__ import annotations

from robyn_server.settings.field import env
from robyn_server.settings.part import SettingsPart


class AuditSettings(SettingsPart):
    audit_days: int = env(
        "AGENTHALL_AUDIT_DAYS",
        365,
        "Days that entries of the audit trail are kept. Workers delete older ones once an hour. 0: for ever.",
        ge=0,
        le=36_500,
    )
