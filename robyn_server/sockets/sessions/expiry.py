"""When the credentials of a socket expire, and when its client is notified.

The time decides only when to verify again. The verifier decides whether they have expired: for a key, by the database's
clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

EXPIRING = "auth.expiring"

MAX_NOTICE = timedelta(seconds=60)
MIN_NOTICE = timedelta(seconds=5)
"""Two checks of the liveness monitor, so that the notification comes before the end."""

LIFETIME_FRACTION = 10
"""The notice is a tenth of the credentials' remaining lifetime when they are presented: 30 s for five minutes."""


@dataclass(slots=True)
class CredentialExpiry:
    at: datetime
    notify_from: datetime
    is_notified: bool = False

    @classmethod
    def of(cls, at: datetime, now: datetime) -> CredentialExpiry:
        notice = min(MAX_NOTICE, max((at - now) / LIFETIME_FRACTION, MIN_NOTICE))
        return cls(at, at - notice)

    def is_over(self, now: datetime) -> bool:
        return now >= self.at

    def should_notify(self, now: datetime) -> bool:
        """True once, some time before the end."""
        if self.is_notified or now < self.notify_from or self.is_over(now):
            return False
        self.is_notified = True
        return True

    def notice(self, now: datetime) -> dict[str, object]:
        return {
            "expires_at": self.at,
            "seconds_left": round((self.at - now).total_seconds(), 3),
            "message": "the credentials end soon; show fresher ones with `auth`",
        }


def track_expiry(former: CredentialExpiry | None, at: datetime | None, now: datetime) -> CredentialExpiry | None:
    """The expiry of credentials that end `at`. Credentials that end when the former ones do are notified once."""
    if at is None:
        return None
    return former if former is not None and former.at == at else CredentialExpiry.of(at, now)
