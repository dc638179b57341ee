"""The registry as a machine that hypothesis drives, beside a model of it: after each step both must say the same.

Time is not waited for: every call is told the moment. Whoever was once told an epoch may still speak, hours later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from registry_model import Keeper, Token, World
from registry_sql import T1, T2, Registry

KEEPERS = (UUID(int=71), UUID(int=72))
NAMES = [(T1, f"i{n}") for n in range(8)] + [(T2, "i0"), (T2, "i1")]
"""Eight in one set: enough for its brake."""
_EMPTY = """
    delete from mcp.agent_configurations; delete from mcp.agent_manifests; delete from mcp.lease_keepers;
    delete from mcp.agent_event_inbox; delete from mcp.agent_events; update mcp.agent_event_log set lowest = 1, last = 0"""
_SHOWN = "select id, epoch, registration_status, health_status from mcp.agent_registrations_at($1)"
_KEYS = "select tenant_id, instance_id, id from mcp.agent_instances"
_KEEPERS = "select id, last_beat, stopped_at, outage_began, outage_ended from mcp.lease_keepers"
_TENANTS = "select tenant_id from mcp.agent_configurations where mcp.has_live_instance(tenant_id, manifest_id, $1)"
_EVENTS = "select registration_id, array_agg(kind order by position) from mcp.agent_events group by registration_id"
_POSITIONS = "select count(*) = coalesce(max(position), 0) from mcp.agent_events"
_REGISTER = """
    select registration_id, epoch, is_new from mcp.register_agent_instance(
      $1, 'agent', $2, null, '{}', '{}', idempotency_key => $3, keeper_id => $4, now => $5)"""
_BEAT = "select outcome from mcp.heartbeat_agent_instance($1, $2, $3, $4, keeper_id => $5, now => $6)"
_BEATS = "select outcome from mcp.heartbeat_agent_instances($1, $2, $3, keeper_id => $4, now => $5)"

keepers = st.sampled_from((None, *KEEPERS))
choices = st.integers(0, 1000)
healths = st.sampled_from((None, "healthy", "degraded"))


class RegistryMachine(RuleBasedStateMachine):
    """`wait` runs a coroutine."""

    def __init__(self, registry: Registry, wait: Callable[[Awaitable[Any]], Any]) -> None:
        super().__init__()
        self.registry = registry
        self.wait = wait
        self.world = World()
        self.at = 0.0
        self.told: list[tuple[UUID, Token]] = []
        """Tenant, and what one of its instances was told, ever."""

    @initialize()
    def empty(self) -> None:
        self.wait(self.registry.owner.execute(_EMPTY))
        self.zero: datetime = self.wait(self.registry.now())
        self.wait(self.registry.owner.execute("update mcp.lease_pace set updated_at = $1", self.zero))

    # what instances do

    @rule(name=st.sampled_from(NAMES), key=st.sampled_from((None, "one", "two")), keeper=keepers)
    def register(self, name: tuple[UUID, str], key: str | None, keeper: UUID | None) -> None:
        row = self.wait(self.registry.app.fetchrow(_REGISTER, *name, key, keeper, self.now))
        expected = self.world.register(name, row["registration_id"], key, keeper, self.at)
        assert tuple(row) == (expected.id, expected.epoch, expected.epoch == 1)
        self.told.append((name[0], (expected.id, expected.epoch)))

    @rule(keeper=keepers)
    def register_a_crowd(self, keeper: UUID | None) -> None:
        for name in NAMES[:8]:
            self.register(name, None, keeper)

    @precondition(lambda self: self.told)
    @rule(choice=choices, health=healths, keeper=keepers)
    def beat(self, choice: int, health: str | None, keeper: UUID | None) -> None:
        tenant, token = self._pick(choice)
        outcome = self.wait(self.registry.app.fetchval(_BEAT, tenant, *token, health, keeper, self.now))
        assert outcome == self.world.beat(token, health, keeper, self.at)

    @precondition(lambda self: self.told)
    @rule(beats=st.lists(st.tuples(choices, healths), min_size=1, max_size=6), keeper=keepers)
    def beat_together(self, beats: list[tuple[int, str | None]], keeper: UUID | None) -> None:
        """Of several of one life the last counts."""
        tokens = [self._pick(choice)[1] for choice, _ in beats]
        lists = [token[0] for token in tokens], [token[1] for token in tokens], [health for _, health in beats]
        rows = self.wait(self.registry.system.fetch(_BEATS, *lists, keeper, self.now))
        self.world.hear(keeper, self.at)
        last = {token: health for token, (_, health) in zip(tokens, beats, strict=True)}
        said = {token: self.world.beat(token, health, keeper, self.at) for token, health in last.items()}
        assert [row["outcome"] for row in rows] == [said[token] for token in tokens]

    @precondition(lambda self: self.world.instances)
    @rule(keeper=keepers)
    def all_beat(self, keeper: UUID | None) -> None:
        tokens = [(each.id, each.epoch) for each in self.world.instances.values()]
        lists = [token[0] for token in tokens], [token[1] for token in tokens], None
        rows = self.wait(self.registry.system.fetch(_BEATS, *lists, keeper, self.now))
        self.world.hear(keeper, self.at)
        assert [row["outcome"] for row in rows] == [self.world.beat(each, None, keeper, self.at) for each in tokens]

    @precondition(lambda self: self.told)
    @rule(choice=choices, verb=st.sampled_from(("deregister", "drain", "disconnect")), ahead=st.sampled_from((0, 0, 1)))
    def end(self, choice: int, verb: str, ahead: int) -> None:
        """`ahead`: an epoch that nobody was told."""
        tenant, (registration_id, epoch) = self._pick(choice)
        query = f"select outcome from mcp.{verb}_agent_instance($1, $2, $3, $4, $5)"
        last = 5.0 if verb == "disconnect" else "why"
        outcome = self.wait(self.registry.app.fetchval(query, tenant, registration_id, epoch + ahead, last, self.now))
        assert outcome == self.world.end(verb, (registration_id, epoch + ahead), 5.0, self.at)

    # what the server does

    @rule(keeper=st.sampled_from(KEEPERS), seconds=st.integers(0, 6))
    def keep(self, keeper: UUID, seconds: int) -> None:
        """The keeper beats every second for so long."""
        for each in range(seconds + 1):
            self._keep(keeper, self.at + each)
        self.at += seconds

    def _keep(self, keeper: UUID, at: float) -> None:
        self.wait(self.registry.system.execute("select mcp.beat_lease_keeper($1, 'test', $2)", keeper, self.moment(at)))
        if keeper in self.world.keepers:
            self.world.keepers[keeper].beat(at)
        else:
            self.world.keepers[keeper] = Keeper(at)

    @precondition(lambda self: self.world.instances)
    @rule(
        keeper=st.sampled_from(KEEPERS),
        seconds=st.lists(st.sampled_from((2.5, 10.5, 20.5, 61.5, 125.5, 400.5)), min_size=1, max_size=3),
        back=st.integers(0, 12),
    )
    def outages(self, keeper: UUID, seconds: list[float], back: int) -> None:
        """All beat through one keeper, which falls silent, several times; in between it is back for `back` seconds."""
        self._keep(keeper, self.at)
        self.all_beat(keeper)
        for each in seconds:
            self.at += each
            self.wait(self._compare())
            self.keep(keeper, back)
        self.at += back

    @rule(keeper=st.sampled_from(KEEPERS))
    def stop_keeping(self, keeper: UUID) -> None:
        found = self.wait(self.registry.system.fetchval("select mcp.stop_lease_keeper($1, $2)", keeper, self.now))
        assert found == (keeper in self.world.keepers)
        if found:
            self.world.keepers[keeper].stopped = self.at

    @rule()
    def sweep(self) -> None:
        swept = self.wait(self.registry.sweep(self.now))
        assert (swept["stale"], swept["inactive"], swept["deleted"]) == self.world.sweep(self.at)
        assert swept["braked_sets"] == len(self.world.brakes)
        assert swept["live"] == sum(status != "inactive" for _, status, _ in self.world.shown(self.at).values())

    @precondition(lambda self: self.world.brakes)
    @rule()
    def release_the_brake(self) -> None:
        tenant, _ = self.world.brakes.popitem()
        assert self.wait(self.registry.system.fetchval("select mcp.release_brake($1, 'agent')", tenant))

    # what time does

    @rule(seconds=st.sampled_from((0.5, 1.5, 2.5, 3.5, 8.5, 16.5, 31.5, 61.5, 125.5, 601.5)))
    def time_passes(self, seconds: float) -> None:
        self.at += seconds

    @rule(seconds=st.sampled_from((-3600.25, -20.25, -1.25, 3600.25, 86_500.25)))
    def the_clock_steps(self, seconds: float) -> None:
        self.at += seconds

    # what is true

    @invariant()
    def the_database_is_as_the_model(self) -> None:
        if hasattr(self, "zero"):
            self.wait(self._compare())

    async def _compare(self) -> None:
        owner, world = self.registry.owner, self.world
        assert {row[0]: tuple(row)[1:] for row in await owner.fetch(_SHOWN, self.now)} == world.shown(self.at)
        keys = {(row[0], row[1]): row[2] for row in await owner.fetch(_KEYS)}
        assert keys == {key: each.id for key, each in world.instances.items()}
        assert {row[0] for row in await owner.fetch(_TENANTS, self.now)} == world.tenants_alive(self.at)
        await self._compare_keepers()
        await self.registry.system.execute("select mcp.publish_agent_events()")
        assert {row[0]: row[1] for row in await owner.fetch(_EVENTS)} == world.events
        assert await owner.fetchval(_POSITIONS)

    async def _compare_keepers(self) -> None:
        rows = {row["id"]: tuple(row)[1:] for row in await self.registry.owner.fetch(_KEEPERS)}
        expected = {
            id_: (
                self.moment(keeper.last_beat),
                None if keeper.stopped is None else self.moment(keeper.stopped),
                *(map(self.moment, keeper.outage) if keeper.outage else (None, None)),
            )
            for id_, keeper in self.world.keepers.items()
        }
        assert rows == expected

    # the machine's own rules

    def moment(self, seconds: float) -> datetime:
        return self.zero + timedelta(seconds=seconds)

    @property
    def now(self) -> datetime:
        return self.moment(self.at)

    def _pick(self, choice: int) -> tuple[UUID, Token]:
        """Half of the choices fall on what was told last."""
        last = self.told[-3:] if choice % 2 else self.told
        return last[choice // 2 % len(last)]
