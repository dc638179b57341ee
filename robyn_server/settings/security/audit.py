"""Settings of the audit trail."""

from __future__ import annotations

from pydantic_settings import BaseSettings

from robyn_server.settings.field import env


class AuditSettings(BaseSettings):
    audit_days: int = env(
        "AGENTHALL_AUDIT_DAYS",
        365,
        "Days that entries of the audit trail are kept. Workers delete older ones once an hour. 0: for ever.",
        ge=0,
        le=36_500,
    )
