"""When the credentials of a socket end, and when its client is told that they will.

The moment is shown, and says when to ask anew. Whether they have ended is for whoever verifies them: a key by the database's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

EXPIRING = "auth.expiring"

LONGEST_NOTICE = timedelta(seconds=60)
SHORTEST_NOTICE = timedelta(seconds=5)
"""Two looks of the watchman: who is told at all is told before the end."""

PART_OF_LIFE = 10
"""The notice is a tenth of what is left of the credentials when they are shown: 30 s for five minutes."""


@dataclass(slots=True)
class Expiry:
    at: datetime
    told_from: datetime
    is_told: bool = False

    @classmethod
    def of(cls, at: datetime, now: datetime) -> Expiry:
        notice = min(LONGEST_NOTICE, max((at - now) / PART_OF_LIFE, SHORTEST_NOTICE))
        return cls(at, at - notice)

    def is_over(self, now: datetime) -> bool:
        return now >= self.at

    def must_tell(self, now: datetime) -> bool:
        """Once."""
        if self.is_told or now < self.told_from or self.is_over(now):
            return False
        self.is_told = True
        return True

    def notice(self, now: datetime) -> dict[str, object]:
        return {
            "expires_at": self.at,
            "seconds_left": round((self.at - now).total_seconds(), 3),
            "message": "the credentials end soon; show fresher ones with `auth`",
        }


def renewed(former: Expiry | None, at: datetime | None, now: datetime) -> Expiry | None:
    """For credentials that end `at`. Those that end when the former ones do are told once."""
    if at is None:
        return None
    return former if former is not None and former.at == at else Expiry.of(at, now)
