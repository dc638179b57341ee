"""A model of the registry in plain Python: instances, leases, keepers, brakes and events, at given times.

Times are seconds since the start of the model. Nothing here reads the database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

# The defaults of the settings mcp.lease_ttl, lease_grace, longest_outage, brake_hold, retention_inactive and
# retention_deleted, and the time after which a keeper counts as silent.
TTL = 15.0
GRACE = 30.0
MAX_OUTAGE = 120.0
BRAKE_HOLD = 600.0
RETENTION = 60.0
DELETED_RETENTION = 86_400.0
KEEPER_SILENCE = 3.0

Key = tuple[UUID, str]
"""Organization and instance_id. There is one agent."""
Token = tuple[UUID, int]
"""Registration and epoch, as given to an instance."""


@dataclass(slots=True)
class Keeper:
    last_heartbeat: float
    stopped: float | None = None
    outage: tuple[float, float] | None = None

    def is_silent(self, at: float) -> bool:
        return self.stopped is None and at > self.last_heartbeat + KEEPER_SILENCE

    def end_outage(self, at: float) -> None:
        """End the outage, if there is one."""
        if not self.is_silent(at):
            return
        began = self.last_heartbeat
        if self.outage and began < min(self.outage[1] + GRACE, self.outage[0] + MAX_OUTAGE + GRACE):
            began = self.outage[0]
        self.outage = (began, at)

    def heartbeat(self, at: float) -> None:
        self.end_outage(at)
        self.last_heartbeat, self.stopped = at, None

    def protects(self, expires: float, checked: float, at: float) -> bool:
        if (
            self.is_silent(at)
            and at < self.last_heartbeat + MAX_OUTAGE
            and checked - 10 <= self.last_heartbeat < expires
        ):
            return True
        return self._forgives(at) and self._covers(expires, checked)

    def _forgives(self, at: float) -> bool:
        if self.outage is None:
            return False
        until = self.outage[1] + GRACE
        again = self.stopped is None and self.last_heartbeat < until and at < self.last_heartbeat + MAX_OUTAGE
        return at < until or again

    def _covers(self, expires: float, checked: float) -> bool:
        return self.outage is not None and expires > self.outage[0] and checked <= self.outage[1]

    def is_forgotten(self, at: float) -> bool:
        if self.stopped is not None and self.stopped + GRACE < at:
            return True
        return (
            max(self.last_heartbeat + MAX_OUTAGE, self.outage[1] if self.outage else self.last_heartbeat) + GRACE < at
        )


@dataclass(slots=True)
class Lease:
    expires: float
    checked: float
    keeper: UUID | None
    health: str
    lapsed: float | None = None


@dataclass(slots=True)
class Instance:
    id: UUID
    epoch: int = 1
    status: str = "active"
    idempotency: str | None = None
    ended: float | None = None
    lease: Lease | None = None


@dataclass(slots=True)
class RegistryModel:
    instances: dict[Key, Instance] = field(default_factory=dict)
    keepers: dict[UUID, Keeper] = field(default_factory=dict)
    brakes: dict[UUID, float] = field(default_factory=dict)
    """Organizations, and when their brake was engaged or renewed last."""
    events: defaultdict[UUID, list[str]] = field(default_factory=lambda: defaultdict(list))
    swept: float = 0.0

    # the state

    def alive(self, lease: Lease | None, at: float) -> bool:
        if lease is None or lease.lapsed is not None:
            return False
        keeper = self.keepers.get(lease.keeper) if lease.keeper else None
        return lease.expires > at or bool(keeper and keeper.protects(lease.expires, lease.checked, at))

    def shown(self, at: float) -> dict[UUID, tuple[int, str, str]]:
        """Epoch, registration_status and health_status by registration."""
        return {each.id: (each.epoch, *self._statuses(each, at)) for each in self.instances.values()}

    def _statuses(self, instance: Instance, at: float) -> tuple[str, str]:
        if instance.lease is None or not self.alive(instance.lease, at):
            return "inactive", "stale"
        return instance.status, instance.lease.health

    def tenants_alive(self, at: float) -> set[UUID]:
        return {tenant for (tenant, _), each in self.instances.items() if self.alive(each.lease, at)}

    # calls of instances

    def register(self, key: Key, new_id: UUID, idempotency: str | None, keeper: UUID | None, at: float) -> Instance:
        """`new_id`: the id for an instance that is not known yet."""
        found = self.instances.get(key)
        repeated = found is not None and found.idempotency is not None and found.idempotency == idempotency
        instance = found or Instance(new_id, epoch=0)
        self.instances[key] = instance
        if repeated and instance.lease:
            self._heartbeat(
                instance, instance.lease, "healthy" if instance.lease.lapsed is not None else None, keeper, at
            )
            return instance
        instance.epoch, instance.status, instance.ended, instance.idempotency = (
            instance.epoch + 1, "active", None, idempotency,
        )  # fmt: skip
        instance.lease = Lease(at + TTL, at, keeper, "healthy")
        self.events[instance.id].append("registered" if found is None else "reconnected")
        return instance

    def note_keeper(self, keeper: UUID | None, at: float) -> None:
        """A heartbeat that a keeper delivers ends its silence."""
        known = self.keepers.get(keeper) if keeper else None
        if known and known.is_silent(at):
            known.heartbeat(at)

    def heartbeat(self, token: Token, health: str | None, keeper: UUID | None, at: float) -> str:
        instance = self.find(token[0])
        if instance and instance.lease and instance.epoch == token[1]:
            self._heartbeat(instance, instance.lease, health, keeper, at)
            return "ok"
        return "superseded" if instance and instance.epoch > token[1] else "must_register"

    def _heartbeat(self, instance: Instance, lease: Lease, health: str | None, keeper: UUID | None, at: float) -> None:
        given = health or ("healthy" if lease.health == "stale" else lease.health)
        if given != lease.health:
            self.events[instance.id].append("health" if lease.lapsed is None else "revived")
        instance.lease = Lease(at + TTL, at, keeper, given)

    def end(self, verb: str, token: Token, grace: float, at: float) -> str:
        """deregister, drain, disconnect."""
        instance = self.find(token[0])
        if instance is None or token[1] > instance.epoch:
            return "unknown"
        if token[1] < instance.epoch:
            return "superseded"
        if verb == "deregister":
            if instance.status != "inactive":
                self._end(instance, "deregistered", at)
            return "ok"
        if instance.lease is None:
            return "unknown"
        if verb == "disconnect":
            instance.lease.expires, instance.lease.keeper = min(instance.lease.expires, at + grace), None
            self.events[instance.id].append("disconnected")
        elif instance.status == "active":
            instance.status = "draining"
            self.events[instance.id].append("draining")
        return "ok"

    def _end(self, instance: Instance, kind: str, at: float) -> None:
        instance.status, instance.ended, instance.lease, instance.idempotency = "inactive", at, None, None
        self.events[instance.id].append(kind)

    def find(self, registration_id: UUID) -> Instance | None:
        return next((each for each in self.instances.values() if each.id == registration_id), None)

    # calls of the server

    def sweep(self, at: float) -> tuple[int, int, int]:
        """How many became stale, inactive, deleted."""
        if at > self.swept + GRACE:
            for keeper in self.keepers.values():
                if keeper.last_heartbeat > self.swept - GRACE:
                    keeper.end_outage(at)
        self._brake(at)
        counts = self._mark(at), self._end_stale(at), self._delete(at)
        self.keepers = {id_: keeper for id_, keeper in self.keepers.items() if not keeper.is_forgotten(at)}
        self.swept = at
        return counts

    def _leased(self) -> Iterable[tuple[UUID, Instance, Lease]]:
        return [(tenant, each, each.lease) for (tenant, _), each in self.instances.items() if each.lease]

    def _brake(self, at: float) -> None:
        calm = not any(each.outage and each.outage[1] > at - BRAKE_HOLD for each in self.keepers.values())
        for tenant in {tenant for tenant, _ in self.instances} | self.brakes.keys():
            leases = [lease for owner, _, lease in self._leased() if owner == tenant]
            lapsing = sum(lease.lapsed is None and not self.alive(lease, at) for lease in leases)
            stale = sum(lease.lapsed is not None for lease in leases)
            many = lapsing * 100 > 15 * len(leases)
            if many and (tenant in self.brakes or len(leases) > 6):
                self.brakes[tenant] = at
            elif (stale + lapsing) * 100 <= 15 * len(leases) or (
                calm and self.brakes.get(tenant, at) <= at - BRAKE_HOLD
            ):
                self.brakes.pop(tenant, None)

    def _mark(self, at: float) -> int:
        lapsed = [(each, lease) for _, each, lease in self._leased() if lease.lapsed is None]
        lapsed = [(each, lease) for each, lease in lapsed if not self.alive(lease, at)]
        for instance, lease in lapsed:
            lease.lapsed, lease.health = at, "stale"
            self.events[instance.id].append("stale")
        return len(lapsed)

    def _end_stale(self, at: float) -> int:
        over = [
            each
            for tenant, each, lease in self._leased()
            if lease.lapsed is not None and lease.lapsed <= at - RETENTION and tenant not in self.brakes
        ]
        for instance in over:
            self._end(instance, "inactive", at)
        return len(over)

    def _delete(self, at: float) -> int:
        gone = [
            key
            for key, each in self.instances.items()
            if each.ended is not None and each.ended <= at - DELETED_RETENTION
        ]
        for key in gone:
            self.events[self.instances.pop(key).id].append("deleted")
        return len(gone)
