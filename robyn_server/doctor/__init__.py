"""Checks of the machine, the settings and the database. `check_database` also runs at every start.

`runner.py` runs `agenthall doctor`.
"""

from __future__ import annotations

from .database import DatabaseProperties, check_database, check_notify

__all__ = ["DatabaseProperties", "check_database", "check_notify"]
