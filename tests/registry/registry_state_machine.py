"""A state machine that hypothesis drives against the registry and a model of it. After each step both must agree.

Every call gets its time as a parameter, so nothing waits. An instance may use any epoch that it was ever given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from registry_database import ORG_1, ORG_2, RegistryDatabase
from registry_model import Keeper, RegistryModel, Token

KEEPERS = (UUID(int=71), UUID(int=72))
NAMES = [(ORG_1, f"i{n}") for n in range(8)] + [(ORG_2, "i0"), (ORG_2, "i1")]
"""Eight in one set are enough for its brake."""
_EMPTY = """
    delete from mcp.agent_configurations; delete from mcp.agent_manifests; delete from mcp.lease_keepers;
    delete from mcp.agent_event_inbox; delete from mcp.agent_events; update mcp.agent_event_log set lowest = 1, last = 0"""
_SHOWN = "select id, epoch, registration_status, health_status from mcp.agent_registrations_at($1)"
_KEYS = "select tenant_id, instance_id, id from mcp.agent_instances"
_KEEPERS = "select id, last_heartbeat, stopped_at, outage_began, outage_ended from mcp.lease_keepers"
_TENANTS = "select tenant_id from mcp.agent_configurations where mcp.has_live_instance(tenant_id, manifest_id, $1)"
_EVENTS = "select registration_id, array_agg(kind order by position) from mcp.agent_events group by registration_id"
_POSITIONS = "select count(*) = coalesce(max(position), 0) from mcp.agent_events"
_REGISTER = """
    select registration_id, epoch, is_new from mcp.register_agent_instance(
      $1, 'agent', $2, null, '{}', '{}', idempotency_key => $3, keeper_id => $4, now => $5)"""
_HEARTBEAT = "select outcome from mcp.heartbeat_agent_instance($1, $2, $3, $4, keeper_id => $5, now => $6)"
_HEARTBEATS = "select outcome from mcp.heartbeat_agent_instances($1, $2, $3, keeper_id => $4, now => $5)"

keepers = st.sampled_from((None, *KEEPERS))
choices = st.integers(0, 1000)
healths = st.sampled_from((None, "healthy", "degraded"))


class RegistryStateMachine(RuleBasedStateMachine):
    """`wait` runs a coroutine."""

    def __init__(self, registry: RegistryDatabase, wait: Callable[[Awaitable[Any]], Any]) -> None:
        super().__init__()
        self.registry = registry
        self.wait = wait
        self.model = RegistryModel()
        self.at = 0.0
        self.tokens: list[tuple[UUID, Token]] = []
        """Organization and token of every registration."""

    @initialize()
    def empty(self) -> None:
        self.wait(self.registry.owner.execute(_EMPTY))
        self.start: datetime = self.wait(self.registry.now())
        self.wait(self.registry.owner.execute("update mcp.lease_pace set updated_at = $1", self.start))

    # calls of instances

    @rule(name=st.sampled_from(NAMES), key=st.sampled_from((None, "one", "two")), keeper=keepers)
    def register(self, name: tuple[UUID, str], key: str | None, keeper: UUID | None) -> None:
        row = self.wait(self.registry.app.fetchrow(_REGISTER, *name, key, keeper, self.now))
        expected = self.model.register(name, row["registration_id"], key, keeper, self.at)
        assert tuple(row) == (expected.id, expected.epoch, expected.epoch == 1)
        self.tokens.append((name[0], (expected.id, expected.epoch)))

    @rule(keeper=keepers)
    def register_a_crowd(self, keeper: UUID | None) -> None:
        for name in NAMES[:8]:
            self.register(name, None, keeper)

    @precondition(lambda self: self.tokens)
    @rule(choice=choices, health=healths, keeper=keepers)
    def heartbeat(self, choice: int, health: str | None, keeper: UUID | None) -> None:
        tenant, token = self._pick(choice)
        outcome = self.wait(self.registry.app.fetchval(_HEARTBEAT, tenant, *token, health, keeper, self.now))
        assert outcome == self.model.heartbeat(token, health, keeper, self.at)

    @precondition(lambda self: self.tokens)
    @rule(beats=st.lists(st.tuples(choices, healths), min_size=1, max_size=6), keeper=keepers)
    def heartbeat_together(self, beats: list[tuple[int, str | None]], keeper: UUID | None) -> None:
        """Send a batch. Of several heartbeats of one epoch, the last one counts."""
        tokens = [self._pick(choice)[1] for choice, _ in beats]
        lists = [token[0] for token in tokens], [token[1] for token in tokens], [health for _, health in beats]
        rows = self.wait(self.registry.system.fetch(_HEARTBEATS, *lists, keeper, self.now))
        self.model.note_keeper(keeper, self.at)
        last = {token: health for token, (_, health) in zip(tokens, beats, strict=True)}
        outcomes = {token: self.model.heartbeat(token, health, keeper, self.at) for token, health in last.items()}
        assert [row["outcome"] for row in rows] == [outcomes[token] for token in tokens]

    @precondition(lambda self: self.model.instances)
    @rule(keeper=keepers)
    def heartbeat_all(self, keeper: UUID | None) -> None:
        tokens = [(each.id, each.epoch) for each in self.model.instances.values()]
        lists = [token[0] for token in tokens], [token[1] for token in tokens], None
        rows = self.wait(self.registry.system.fetch(_HEARTBEATS, *lists, keeper, self.now))
        self.model.note_keeper(keeper, self.at)
        assert [row["outcome"] for row in rows] == [
            self.model.heartbeat(each, None, keeper, self.at) for each in tokens
        ]

    @precondition(lambda self: self.tokens)
    @rule(choice=choices, verb=st.sampled_from(("deregister", "drain", "disconnect")), ahead=st.sampled_from((0, 0, 1)))
    def end(self, choice: int, verb: str, ahead: int) -> None:
        """`ahead`: added to the epoch, to get one that no instance was given."""
        tenant, (registration_id, epoch) = self._pick(choice)
        query = f"select outcome from mcp.{verb}_agent_instance($1, $2, $3, $4, $5)"
        last = 5.0 if verb == "disconnect" else "why"
        outcome = self.wait(self.registry.app.fetchval(query, tenant, registration_id, epoch + ahead, last, self.now))
        assert outcome == self.model.end(verb, (registration_id, epoch + ahead), 5.0, self.at)

    # calls of the server

    @rule(keeper=st.sampled_from(KEEPERS), seconds=st.integers(0, 6))
    def keep(self, keeper: UUID, seconds: int) -> None:
        """The keeper reports every second for `seconds`."""
        for each in range(seconds + 1):
            self._keep(keeper, self.at + each)
        self.at += seconds

    def _keep(self, keeper: UUID, at: float) -> None:
        self.wait(
            self.registry.system.execute("select mcp.heartbeat_lease_keeper($1, 'test', $2)", keeper, self.moment(at))
        )
        if keeper in self.model.keepers:
            self.model.keepers[keeper].heartbeat(at)
        else:
            self.model.keepers[keeper] = Keeper(at)

    @precondition(lambda self: self.model.instances)
    @rule(
        keeper=st.sampled_from(KEEPERS),
        seconds=st.lists(st.sampled_from((2.5, 10.5, 20.5, 61.5, 125.5, 400.5)), min_size=1, max_size=3),
        back=st.integers(0, 12),
    )
    def outages(self, keeper: UUID, seconds: list[float], back: int) -> None:
        """All instances use one keeper, which falls silent several times. In between it is back for `back` seconds."""
        self._keep(keeper, self.at)
        self.heartbeat_all(keeper)
        for each in seconds:
            self.at += each
            self.wait(self._compare())
            self.keep(keeper, back)
        self.at += back

    @rule(keeper=st.sampled_from(KEEPERS))
    def stop_keeping(self, keeper: UUID) -> None:
        found = self.wait(self.registry.system.fetchval("select mcp.stop_lease_keeper($1, $2)", keeper, self.now))
        assert found == (keeper in self.model.keepers)
        if found:
            self.model.keepers[keeper].stopped = self.at

    @rule()
    def sweep(self) -> None:
        swept = self.wait(self.registry.sweep(self.now))
        assert (swept["stale"], swept["inactive"], swept["deleted"]) == self.model.sweep(self.at)
        assert swept["braked_sets"] == len(self.model.brakes)
        assert swept["live"] == sum(status != "inactive" for _, status, _ in self.model.shown(self.at).values())

    @precondition(lambda self: self.model.brakes)
    @rule()
    def release_the_brake(self) -> None:
        tenant, _ = self.model.brakes.popitem()
        assert self.wait(self.registry.system.fetchval("select mcp.release_brake($1, 'agent')", tenant))

    # time

    @rule(seconds=st.sampled_from((0.5, 1.5, 2.5, 3.5, 8.5, 16.5, 31.5, 61.5, 125.5, 601.5)))
    def time_passes(self, seconds: float) -> None:
        self.at += seconds

    @rule(seconds=st.sampled_from((-3600.25, -20.25, -1.25, 3600.25, 86_500.25)))
    def the_clock_steps(self, seconds: float) -> None:
        self.at += seconds

    # the invariant

    @invariant()
    def the_database_is_as_the_model(self) -> None:
        if hasattr(self, "start"):
            self.wait(self._compare())

    async def _compare(self) -> None:
        owner, model = self.registry.owner, self.model
        assert {row[0]: tuple(row)[1:] for row in await owner.fetch(_SHOWN, self.now)} == model.shown(self.at)
        keys = {(row[0], row[1]): row[2] for row in await owner.fetch(_KEYS)}
        assert keys == {key: each.id for key, each in model.instances.items()}
        assert {row[0] for row in await owner.fetch(_TENANTS, self.now)} == model.tenants_alive(self.at)
        await self._compare_keepers()
        await self.registry.system.execute("select mcp.publish_agent_events()")
        assert {row[0]: row[1] for row in await owner.fetch(_EVENTS)} == model.events
        assert await owner.fetchval(_POSITIONS)

    async def _compare_keepers(self) -> None:
        rows = {row["id"]: tuple(row)[1:] for row in await self.registry.owner.fetch(_KEEPERS)}
        expected = {
            id_: (
                self.moment(keeper.last_heartbeat),
                None if keeper.stopped is None else self.moment(keeper.stopped),
                *(map(self.moment, keeper.outage) if keeper.outage else (None, None)),
            )
            for id_, keeper in self.model.keepers.items()
        }
        assert rows == expected

    # the machine's own rules

    def moment(self, seconds: float) -> datetime:
        return self.start + timedelta(seconds=seconds)

    @property
    def now(self) -> datetime:
        return self.moment(self.at)

    def _pick(self, choice: int) -> tuple[UUID, Token]:
        """Pick a token. Half of the choices fall on the last three."""
        last = self.tokens[-3:] if choice % 2 else self.tokens
        return last[choice // 2 % len(last)]
