"""Is this machine, and this database, fit for the server? `check_database` is also asked at every start.

`examination.py` is the body of `agenthall doctor`; the other files have one subject each.
"""

from __future__ import annotations

from .database import DatabaseFacts, check_database, check_notify

__all__ = ["DatabaseFacts", "check_database", "check_notify"]
