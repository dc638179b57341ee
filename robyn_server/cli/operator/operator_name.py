"""The principal of somebody who works on the database itself."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robyn_server.core.access.principal import Principal


def operator() -> Principal:
    """Return the principal of the operator, who may do everything. The audit trail has its name."""
    from robyn_server.core.access.principal import ADMIN, Principal

    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        name = "unknown"
    return Principal(f"cli:{name}", organizations=None, permissions=frozenset({ADMIN}))
