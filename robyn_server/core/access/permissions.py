"""The permissions of all operations, in one table: who may do what.

Every route and every method of the WebSocket names its operation. Rules
  1. A role is the relation of a caller to the row that the operation names. Each role may do what those before it may.
  2. `Permission.role` is the least role that may do the operation. For another caller a row does not exist: NotFound.
     An operation of administrators is Forbidden to others.
  3. A key with scopes also needs one of `Permission.scopes`.
  4. `require` decides what can be decided without the row. The predicates of `storage/sql/` decide about rows, and
     `tests/contract/identity/test_permissions.py` compares a running server with the table, cell by cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from robyn_server.core.errors import Forbidden

from .principal import Principal
from .scopes import AGENT_SCOPES, PRIVILEGED, Scope


class Role(StrEnum):
    ANYONE = "anyone"
    CALLER = "caller"
    MEMBER = "member"
    OWNER = "owner"
    ADMIN = "administrator"

    def includes(self, other: Role) -> bool:
        """Whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


ROLES: Mapping[Role, str] = {
    Role.ANYONE: "a request without credentials",
    Role.CALLER: "a request with valid credentials",
    Role.MEMBER: "a member of the organization that the row belongs to",
    Role.OWNER: "the identity that the row belongs to",
    Role.ADMIN: "the scope or permission `admin` (or `metrics` or `audit`, where that is the scope); with `AUTH_MODE=none` everybody",
}


class Operation(StrEnum):
    SERVER_READ = "server.read"
    IDENTITY_READ = "identity.read"
    METRICS_READ = "metrics.read"
    DOCTOR_READ = "doctor.read"
    NOT_OFFERED = "server.not_offered"
    APP_USE = "app.use"
    ASSISTANTS_CREATE = "assistants.create"
    ASSISTANTS_SEARCH = "assistants.search"
    ASSISTANTS_READ = "assistants.read"
    ASSISTANTS_UPDATE = "assistants.update"
    ASSISTANTS_DELETE = "assistants.delete"
    ASSISTANTS_SET_SERVERS = "assistants.set_servers"
    THREADS_CREATE = "threads.create"
    THREADS_SEARCH = "threads.search"
    THREADS_READ = "threads.read"
    THREADS_UPDATE = "threads.update"
    THREADS_COPY = "threads.copy"
    THREADS_PRUNE = "threads.prune"
    THREADS_DELETE = "threads.delete"
    RUNS_CREATE = "runs.create"
    RUNS_CREATE_IN_THREAD = "runs.create_in_thread"
    RUNS_SEARCH = "runs.search"
    RUNS_READ = "runs.read"
    RUNS_CANCEL = "runs.cancel"
    RUNS_CANCEL_MANY = "runs.cancel_many"
    RUNS_DELETE = "runs.delete"
    STORE_READ = "store.read"
    STORE_WRITE = "store.write"
    INSTANCES_REGISTER = "instances.register"
    INSTANCES_SEARCH = "instances.search"
    INSTANCES_READ = "instances.read"
    INSTANCES_REPORT = "instances.report"
    INSTANCES_REMOVE = "instances.remove"
    INSTANCES_CORDON = "instances.cordon"
    JOBS_WORK = "jobs.work"
    JOBS_SEARCH = "jobs.search"
    JOBS_READ = "jobs.read"
    JOBS_CANCEL = "jobs.cancel"
    MANIFESTS_READ = "manifests.read"
    MANIFESTS_WRITE = "manifests.write"
    CONFIGURATIONS_SEARCH = "configurations.search"
    CONFIGURATIONS_READ = "configurations.read"
    CONFIGURATIONS_WRITE = "configurations.write"
    CONFIGURATIONS_CHANGE = "configurations.change"
    BRAKES_READ = "brakes.read"
    BRAKES_RELEASE = "brakes.release"
    SCALING_READ = "scaling.read"
    SOCKETS_OPEN = "sockets.open"
    SOCKETS_TICKET = "sockets.ticket"
    AGENT_SYNC_READ = "agent_sync.read"
    AGENT_SYNC_RUN = "agent_sync.run"
    CONNECTIONS_READ = "connections.read"
    CONNECTIONS_BEGIN = "connections.begin"
    CONNECTIONS_COMPLETE = "connections.complete"
    CONNECTIONS_RETURN = "connections.return"
    CONNECTIONS_DELETE = "connections.delete"
    AUDIT_READ = "audit.read"
    KEYS_READ = "keys.read"
    KEYS_CREATE = "keys.create"
    KEYS_ROTATE = "keys.rotate"
    KEYS_REVOKE = "keys.revoke"
    DATA_ERASE = "data.erase"


ANY_SCOPE = frozenset(Scope)
NO_SCOPE = frozenset[Scope]()


@dataclass(frozen=True, slots=True)
class Permission:
    """`scopes`: a key with scopes needs any one of these; ANY_SCOPE: none, NO_SCOPE: it may not.

    `in_organization`: the caller must act for an organization. `rows`: what it reaches, for the documentation.
    """

    role: Role
    scopes: frozenset[Scope]
    in_organization: bool = False
    rows: str = ""

    @property
    def main_scope(self) -> Scope:
        """The scope that an error names."""
        return next(scope for scope in Scope if scope in self.scopes) if self.scopes else Scope.ADMIN


def _of(role: Role, *scopes: Scope, rows: str = "") -> Permission:
    return Permission(role, frozenset(scopes), rows=rows)


def _registry(role: Role, *scopes: Scope, rows: str = "") -> Permission:
    return Permission(role, frozenset(scopes), in_organization=True, rows=rows)


_OWN = "those of the caller"
_NEW = "a new one, of the caller"
_ORGANIZATION = "those of the organization"
_BOUND = "a key that is bound to agents: theirs only"

PERMISSIONS: Mapping[Operation, Permission] = {
    Operation.SERVER_READ: Permission(Role.ANYONE, ANY_SCOPE),
    Operation.IDENTITY_READ: Permission(Role.CALLER, ANY_SCOPE, rows="the caller itself"),
    Operation.METRICS_READ: _of(Role.ADMIN, Scope.METRICS, rows="counts of all organizations"),
    Operation.DOCTOR_READ: _of(Role.ADMIN, Scope.ADMIN, rows="checks of the server, of all organizations"),
    Operation.NOT_OFFERED: Permission(Role.CALLER, ANY_SCOPE, rows="the answer is 405"),
    Operation.APP_USE: Permission(Role.CALLER, NO_SCOPE, rows="routes of a project's app, where it wants credentials"),
    Operation.ASSISTANTS_CREATE: _of(Role.CALLER, Scope.ASSISTANTS_WRITE, rows=_NEW),
    Operation.ASSISTANTS_SEARCH: _of(
        Role.CALLER,
        Scope.ASSISTANTS_READ,
        rows="those that `assistants.read` reaches, and those that everybody may use",
    ),
    Operation.ASSISTANTS_READ: _of(
        Role.MEMBER, Scope.ASSISTANTS_READ, rows="a private one: its owner; of everybody: any caller"
    ),
    Operation.ASSISTANTS_UPDATE: _of(
        Role.OWNER, Scope.ASSISTANTS_WRITE, rows="a shared one is 403 to others that may read it"
    ),
    Operation.ASSISTANTS_DELETE: _of(
        Role.OWNER, Scope.ASSISTANTS_WRITE, rows="a shared one is 403 to others that may read it"
    ),
    Operation.ASSISTANTS_SET_SERVERS: _of(
        Role.ADMIN, Scope.ADMIN, rows="`mcp_config` in a run's or an assistant's configuration"
    ),
    Operation.THREADS_CREATE: _of(Role.CALLER, Scope.THREADS_WRITE, rows=_NEW),
    Operation.THREADS_SEARCH: _of(Role.CALLER, Scope.THREADS_READ, rows=_OWN),
    Operation.THREADS_READ: _of(Role.OWNER, Scope.THREADS_READ),
    Operation.THREADS_UPDATE: _of(Role.OWNER, Scope.THREADS_WRITE),
    Operation.THREADS_COPY: _of(Role.OWNER, Scope.THREADS_WRITE),
    Operation.THREADS_PRUNE: _of(Role.CALLER, Scope.THREADS_WRITE, rows=_OWN),
    Operation.THREADS_DELETE: _of(Role.OWNER, Scope.THREADS_WRITE),
    Operation.RUNS_CREATE: _of(Role.CALLER, Scope.RUNS, rows="assistants that `assistants.read` reaches"),
    Operation.RUNS_CREATE_IN_THREAD: _of(
        Role.OWNER, Scope.RUNS, rows="the thread's owner; assistants that `assistants.read` reaches"
    ),
    Operation.RUNS_SEARCH: _of(Role.CALLER, Scope.RUNS, rows=_OWN),
    Operation.RUNS_READ: _of(Role.OWNER, Scope.RUNS),
    Operation.RUNS_CANCEL: _of(Role.OWNER, Scope.RUNS),
    Operation.RUNS_CANCEL_MANY: _of(Role.OWNER, Scope.RUNS),
    Operation.RUNS_DELETE: _of(Role.OWNER, Scope.RUNS),
    Operation.STORE_READ: _of(Role.CALLER, Scope.STORE_READ, rows=_OWN),
    Operation.STORE_WRITE: _of(Role.CALLER, Scope.STORE_WRITE, rows=_OWN),
    Operation.INSTANCES_REGISTER: _registry(Role.CALLER, Scope.AGENTS_REGISTER, rows=_BOUND),
    Operation.INSTANCES_SEARCH: _registry(Role.CALLER, Scope.AGENTS_READ, rows=_ORGANIZATION),
    Operation.INSTANCES_READ: _registry(Role.MEMBER, Scope.AGENTS_READ),
    Operation.INSTANCES_REPORT: _registry(Role.MEMBER, Scope.AGENTS_REGISTER, rows=_BOUND),
    Operation.INSTANCES_REMOVE: _registry(Role.MEMBER, Scope.AGENTS_REGISTER, rows=_BOUND),
    Operation.INSTANCES_CORDON: _registry(Role.MEMBER, Scope.AGENTS_WRITE, rows=_BOUND),
    Operation.JOBS_WORK: _registry(Role.MEMBER, Scope.AGENTS_REGISTER, rows=_BOUND),
    Operation.JOBS_SEARCH: _registry(Role.CALLER, Scope.AGENTS_READ, rows=_ORGANIZATION),
    Operation.JOBS_READ: _registry(Role.MEMBER, Scope.AGENTS_READ),
    Operation.JOBS_CANCEL: _registry(Role.MEMBER, Scope.AGENTS_WRITE, rows=_BOUND),
    Operation.MANIFESTS_READ: _registry(
        Role.CALLER,
        Scope.AGENTS_READ,
        rows="published ones, and the `agent_id` of those that the organization has configured",
    ),
    Operation.MANIFESTS_WRITE: _of(Role.ADMIN, Scope.ADMIN, rows="the same for all organizations"),
    Operation.CONFIGURATIONS_SEARCH: _registry(Role.CALLER, Scope.AGENTS_READ, rows=_ORGANIZATION),
    Operation.CONFIGURATIONS_READ: _registry(Role.MEMBER, Scope.AGENTS_READ),
    Operation.CONFIGURATIONS_WRITE: _registry(Role.CALLER, Scope.AGENTS_WRITE, rows=_BOUND),
    Operation.CONFIGURATIONS_CHANGE: _registry(Role.MEMBER, Scope.AGENTS_WRITE, rows=_BOUND),
    Operation.BRAKES_READ: _registry(Role.CALLER, Scope.AGENTS_READ, rows=_ORGANIZATION),
    Operation.BRAKES_RELEASE: _registry(Role.MEMBER, Scope.AGENTS_WRITE, rows=_BOUND),
    Operation.SCALING_READ: _registry(Role.CALLER, Scope.AGENTS_READ, rows=_ORGANIZATION),
    Operation.SOCKETS_OPEN: Permission(Role.CALLER, ANY_SCOPE, rows="each method has its own operation"),
    Operation.SOCKETS_TICKET: Permission(Role.CALLER, AGENT_SCOPES, rows="it gives no more rights than its key"),
    Operation.AGENT_SYNC_READ: _of(Role.ADMIN, Scope.ADMIN, rows="of all organizations"),
    Operation.AGENT_SYNC_RUN: _of(Role.ADMIN, Scope.ADMIN, rows="of all organizations"),
    Operation.CONNECTIONS_READ: _of(Role.CALLER, Scope.RUNS, rows=_OWN),
    Operation.CONNECTIONS_BEGIN: _of(
        Role.CALLER, Scope.RUNS, rows="to servers of the caller's organization, or of all"
    ),
    Operation.CONNECTIONS_COMPLETE: _of(Role.CALLER, Scope.RUNS, rows="one that the caller has begun"),
    Operation.CONNECTIONS_RETURN: Permission(
        Role.ANYONE,
        ANY_SCOPE,
        rows="a browser that comes back from an authorization server, with a state that is used once",
    ),
    Operation.CONNECTIONS_DELETE: _of(Role.OWNER, Scope.RUNS, rows="not those of others, for administrators either"),
    Operation.AUDIT_READ: _of(
        Role.ADMIN, Scope.AUDIT, rows="of all organizations; a key with the scope `audit`: those of its own"
    ),
    Operation.KEYS_READ: _of(Role.ADMIN, Scope.ADMIN, rows="of all organizations"),
    Operation.KEYS_CREATE: _of(Role.ADMIN, Scope.ADMIN, rows="of all organizations"),
    Operation.KEYS_ROTATE: _of(Role.ADMIN, Scope.ADMIN, rows="of all organizations"),
    Operation.KEYS_REVOKE: _of(Role.ADMIN, Scope.ADMIN, rows="of all organizations"),
    Operation.DATA_ERASE: _of(Role.ADMIN, Scope.ADMIN, rows="`agenthall erase`: of a user or an organization"),
}


WRITES_ASSISTANTS = frozenset({Operation.ASSISTANTS_CREATE, Operation.ASSISTANTS_UPDATE, Operation.ASSISTANTS_DELETE})
"""Closed to keys that are bound to assistants: such a key could make one of these run something else."""


def is_public(operation: Operation) -> bool:
    """Whether it needs no credentials."""
    return PERMISSIONS[operation].role is Role.ANYONE


def permits(principal: Principal, operation: Operation) -> bool:
    """Whether the principal may do the operation, as far as that can be said without the row."""
    needed = PERMISSIONS[operation].scopes
    if needed == ANY_SCOPE or principal.is_admin:
        return True
    if not needed:
        return not principal.limited
    return any(principal.may(scope) for scope in needed)


def can_ever(principal: Principal, operation: Operation) -> bool:
    """Whether there can be rows on which the principal may do the operation."""
    return permits(principal, operation) and not _is_closed_to_key(principal, operation)


def _is_closed_to_key(principal: Principal, operation: Operation) -> bool:
    return principal.assistants is not None and operation in WRITES_ASSISTANTS


def require(principal: Principal, operation: Operation) -> None:
    """Raises Forbidden."""
    if _is_closed_to_key(principal, operation):
        raise Forbidden(
            "This key is bound to assistants, so it may not write assistants.",
            code="assistant_not_allowed",
            field="assistant_id",
        )
    if permits(principal, operation):
        return
    permission = PERMISSIONS[operation]
    raise Forbidden(
        f"Missing scope: {permission.main_scope.value!r}."
        if permission.scopes
        else "This key's scopes do not cover this route; only 'admin' does.",
        code="scope_missing",
        field=permission.main_scope.value,
    )


def _ensure_complete() -> None:
    missing = [operation for operation in Operation if operation not in PERMISSIONS]
    if missing:
        raise TypeError(f"operations without a permission: {', '.join(missing)}")
    for operation, permission in PERMISSIONS.items():
        is_privileged = bool(permission.scopes) and permission.scopes <= PRIVILEGED
        if is_privileged is not (permission.role is Role.ADMIN):
            raise TypeError(f"{operation}: privileged scopes are those of administrators")


_ensure_complete()
