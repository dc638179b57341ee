"""The scopes that an API key can be limited to. Every scope is required by a route or a method.

`permissions.py` holds the table of operations and their scopes. Rules
  1. A principal that is not limited (a user's token, a key without scopes) may do what any member of its organizations
     may.
  2. Privileged scopes are never implied and must be granted. All but `audit` reach beyond the principal's own
     organizations.
  3. `admin` includes all others.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from robyn_server.core.errors import Invalid


class Scope(StrEnum):
    ADMIN = "admin"
    METRICS = "metrics"
    AUDIT = "audit"
    ASSISTANTS_READ = "assistants:read"
    ASSISTANTS_WRITE = "assistants:write"
    THREADS_READ = "threads:read"
    THREADS_WRITE = "threads:write"
    RUNS = "runs"
    STORE_READ = "store:read"
    STORE_WRITE = "store:write"
    AGENTS_READ = "agents:read"
    AGENTS_REGISTER = "agents:register"
    AGENTS_WRITE = "agents:write"


PRIVILEGED = frozenset({Scope.ADMIN, Scope.METRICS, Scope.AUDIT})
BEYOND_ORGANIZATIONS = frozenset({Scope.ADMIN, Scope.METRICS})
AGENT_SCOPES = frozenset({Scope.AGENTS_READ, Scope.AGENTS_REGISTER, Scope.AGENTS_WRITE})

MEANINGS: dict[Scope, str] = {
    Scope.ADMIN: "everything, of every owner and organization; `X-Organization-Id` names the organization to act for",
    Scope.METRICS: "`GET /metrics`, `GET /metrics/history` and `GET /overview`, which count all organizations",
    Scope.AUDIT: "`GET /audit`, the audit trail of the principal's organizations",
    Scope.ASSISTANTS_READ: "get and search assistants",
    Scope.ASSISTANTS_WRITE: "create, change and delete assistants (and their threads, where a deletion requests it)",
    Scope.THREADS_READ: "get and search threads, read their state and history",
    Scope.THREADS_WRITE: "create, change and delete threads",
    Scope.RUNS: "start, follow, list, cancel and schedule runs",
    Scope.STORE_READ: "read the store",
    Scope.STORE_WRITE: "write the store",
    Scope.AGENTS_READ: "list, discover and watch registered agents, their instances and jobs",
    Scope.AGENTS_REGISTER: "register instances, keep them alive, drain and remove them; take their jobs and report them",
    Scope.AGENTS_WRITE: "change manifests and configurations of registered agents, cordon instances, cancel jobs",
}


def parse_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Raises Invalid naming the first scope that does not exist."""
    found = set()
    for name in names:
        try:
            found.add(Scope(name))
        except ValueError:
            known = ", ".join(Scope)
            raise Invalid(f"scopes: {name!r} is not a scope; known scopes are {known}", field="scopes") from None
    return frozenset(found)
