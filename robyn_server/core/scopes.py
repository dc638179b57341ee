"""What an API key may be limited to. The list is closed, and every entry is asked for by a route or a method.

Which route asks for which scope is one table: `web/scopes.py`. Rules
  1. A principal that is not limited (a user's token, a key without scopes) may do what any member of its organisations may.
  2. What reaches past one's own organisations is never implied: the privileged scopes must be granted.
  3. `admin` includes all others.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from .errors import Invalid


class Scope(StrEnum):
    ADMIN = "admin"
    METRICS = "metrics"
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


PRIVILEGED = frozenset({Scope.ADMIN, Scope.METRICS})
OF_AGENTS = frozenset({Scope.AGENTS_READ, Scope.AGENTS_REGISTER, Scope.AGENTS_WRITE})

MEANINGS: dict[Scope, str] = {
    Scope.ADMIN: "everything, of every owner and organisation; `X-Organization-Id` says for which",
    Scope.METRICS: "`GET /metrics`, which counts all organisations",
    Scope.ASSISTANTS_READ: "get and search assistants",
    Scope.ASSISTANTS_WRITE: "create, change and delete assistants (and their threads, where a deletion asks for that)",
    Scope.THREADS_READ: "get and search threads, read their state and history",
    Scope.THREADS_WRITE: "create, change and delete threads",
    Scope.RUNS: "start, follow, list, cancel and schedule runs",
    Scope.STORE_READ: "read the store",
    Scope.STORE_WRITE: "write the store",
    Scope.AGENTS_READ: "list, discover and watch registered agents and their instances",
    Scope.AGENTS_REGISTER: "register instances, keep them alive, drain and remove them",
    Scope.AGENTS_WRITE: "change manifests and configurations of registered agents",
}


def parse_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Raises Invalid naming the first scope that does not exist."""
    found = set()
    for name in names:
        try:
            found.add(Scope(name))
        except ValueError:
            known = ", ".join(Scope)
            raise Invalid(f"scopes: {name!r} is no scope; there are {known}", field="scopes") from None
    return frozenset(found)
