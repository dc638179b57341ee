"""An instance: a process that registers, stays on its lease, is found, and goes away.

Rules
  1. One registration at a time is under way, under one idempotency key, which is kept until an answer has come: a lost answer
     costs no epoch.
  2. Before an instance registers again after a broken connection it asks whether its epoch still stands. Where it does not, a newer process
     has taken over, and this one ends (Superseded): two processes never take turns.
  3. Draining is remembered here: who was draining before a broken connection is draining after it.
  4. One task says everything about the registration: it beats, and registers again when it is told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from .backoff import jitter
from .client import Client
from .credentials import TokenSource
from .errors import ClientError, Closed, Refused, Superseded
from .link import failure
from .names import Name, claim
from .registration import Figures, Health, Registration, State, Vitals
from .sigterm import on_sigterm
from .timing import Timing
from .wire import Disconnected, Wire
from .words import words

_log = logging.getLogger("agenthall_client")

EARLIEST = 0.85
"""A heartbeat comes after 85 to 100 % of the interval that the server dictates."""

CHANGEABLE = frozenset({"name", "capabilities", "tags", "zone", "version", "runtime_config", "connection_details"})

_WORDS = frozenset({"capabilities", "tags"})


class AgentInstance(Client):
    """`async with AgentInstance("ide-agent", capabilities=["debugging"]) as me:` registers; while inside, it stays registered.

    Leaving the body deregisters. `url`, `api_key`, `token` and `tenant_id` as for Client; `instance_id` unset: see `names.py`.
    `health` returns starting, healthy, degraded or unhealthy; `load` an object whose `workload` counts the work in hand; `metrics` an
    object. They are called for every heartbeat and must not block. `drain_on_sigterm`: the first SIGTERM drains, see `until_draining`.

    Besides what Client raises: Superseded, when a newer process has registered under the same instance_id.
    """

    def __init__(
        self,
        agent_id: str,
        *,
        url: str | None = None,
        api_key: str | None = None,
        token: str | TokenSource | None = None,
        tenant_id: object = None,
        instance_id: str | None = None,
        name: str | None = None,
        capabilities: Sequence[str] = (),
        agent_type: str | None = None,
        version: str | None = None,
        zone: str | None = None,
        tags: Sequence[str] = (),
        runtime_config: Mapping[str, Any] | None = None,
        connection_details: Mapping[str, Any] | None = None,
        health: Health | None = None,
        load: Figures | None = None,
        metrics: Figures | None = None,
        drain_on_sigterm: bool = False,
        timing: Timing | None = None,
    ) -> None:
        super().__init__(url, api_key=api_key, token=token, tenant_id=tenant_id, timing=timing)
        self.agent_id = agent_id
        self.registration: Registration | None = None
        said = {"name": name, "agent_type": agent_type, "version": version, "zone": zone}
        objects = {"runtime_config": runtime_config, "connection_details": connection_details}
        given = {name: value for name, value in {**said, **objects}.items() if value is not None}
        self._said: dict[str, Any] = {
            **given,
            "capabilities": words("capabilities", capabilities),
            "tags": words("tags", tags),
        }
        self._name = None if instance_id is None else Name(instance_id)
        self._vitals = Vitals(health, load, metrics)
        self._drain_on_sigterm = drain_on_sigterm
        self._signals = contextlib.ExitStack()
        self._key: str | None = None
        self._must_register = False
        self._wake = asyncio.Event()
        self._draining = asyncio.Event()
        self._drain_reason: str | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._beating: asyncio.Task[None] | None = None
        self._ended: State | None = None

    # what it is

    @property
    def instance_id(self) -> str:
        """Raises Closed before it is known: with a name of its own, inside `async with`."""
        if self._name is None:
            raise Closed("use it inside `async with`")
        return self._name.instance_id

    @property
    def registration_id(self) -> str | None:
        return None if self.registration is None else self.registration.registration_id

    @property
    def epoch(self) -> int | None:
        return None if self.registration is None else self.registration.epoch

    @property
    def state(self) -> State:
        if self._ended is not None:
            return self._ended
        if self._draining.is_set():
            return State.DRAINING
        if self.registration is None:
            return State.CONNECTING
        return State.RECONNECTING if self._link.current is None else State.ACTIVE

    # what it does

    async def update(self, **changes: Any) -> dict[str, Any]:
        """Change what it says of itself: name, capabilities, tags, zone, version, runtime_config, connection_details; also for
        registrations to come. The instance as it is now. Raises TypeError, Refused, Forbidden, Unreachable."""
        unknown = sorted(set(changes) - CHANGEABLE)
        if unknown:
            raise TypeError(f"{unknown[0]} cannot be changed; {', '.join(sorted(CHANGEABLE))} can")
        lists = {name: words(name, changes[name]) for name in _WORDS & changes.keys() if changes[name] is not None}
        given = changes | lists
        instance = await self._link.ask("agent.update", lambda: {**self._known.named, **given})
        self._said |= given
        return instance

    @property
    def _known(self) -> Registration:
        if self.registration is None:
            raise Closed("it has not registered")
        return self.registration

    async def drain(self, reason: str = "draining") -> None:
        """Finish what runs, take nothing new: it is not discovered from now on. It stays so over broken connections, until its end."""
        link = self._link
        self._drain_reason = self._drain_reason or reason
        self._draining.set()
        try:
            await link.ask("agent.drain", lambda: {**self._known.named, "reason": reason})
        except Refused as refused:
            if refused.reason != "must_register":
                raise
            self._register_again()  # which drains

    async def until_draining(self) -> None:
        """Return once it is to take no more work: `drain` was called, SIGTERM came with `drain_on_sigterm`, or the server says so."""
        await self._draining.wait()

    def beat_now(self) -> None:
        """Do not wait for the next heartbeat: health or load have changed."""
        self._wake.set()

    # its life

    async def __aenter__(self) -> Self:
        self._name = self._name or await asyncio.to_thread(claim, self.agent_id)
        try:
            if self._drain_on_sigterm:
                self._signals.enter_context(on_sigterm(self._sigterm))
            return await super().__aenter__()
        except BaseException:
            self._free(State.FAILED)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            self._free(State.CLOSED)

    def _free(self, ended: State) -> None:
        self._ended = self._ended or ended
        self._signals.close()
        for task in [*self._tasks, *([self._beating] if self._beating else [])]:
            task.cancel()
        if self._name is not None:
            self._name.release()

    def failed(self, error: ClientError) -> None:
        self._ended = State.FAILED
        _log.error("the instance %s of %s has ended: %s", self._name and self._name.instance_id, self.agent_id, error)
        super().failed(error)

    def _sigterm(self) -> None:
        _log.info("SIGTERM: draining")
        self._draining.set()
        if self.registration is None:  # nobody knows it yet, and nobody is to wait for a server that does not answer
            if self._made is not None:
                self._made.end(Closed("SIGTERM came before it was connected"))
            return
        task = asyncio.create_task(self._drained("SIGTERM"))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drained(self, reason: str) -> None:
        try:
            await self.drain(reason)
        except ClientError as error:
            _log.warning("the server could not be told that this instance drains: %s", error)

    async def _goodbye(self, error: BaseException | None) -> None:
        if self._beating is not None:
            self._beating.cancel()
        if self._tasks:  # the server hears first that it drains
            await asyncio.wait(self._tasks, timeout=self._timing.leave)
        wire = self._link.current
        if wire is not None and self.registration is not None:
            reason = "done" if error is None else f"ended by {type(error).__name__}"
            try:
                async with asyncio.timeout(self._timing.leave):
                    await wire.ask("agent.deregister", {**self.registration.named, "reason": reason})
            except (ClientError, Disconnected, TimeoutError) as failure:
                _log.warning("not deregistered, the lease ends by itself: %s", failure or type(failure).__name__)
        await super()._goodbye(error)

    # what the link tells

    async def welcome(self, wire: Wire) -> None:
        if self.registration is not None and self._key is None:
            await self._ensure_not_replaced(wire, self.registration)
        await self._register(wire)
        self._beating = asyncio.create_task(self._beat(wire), name="agenthall.beat")

    def lost(self, wire: Wire) -> None:
        if self._beating is not None:
            self._beating.cancel()
        super().lost(wire)

    def heard(self, method: str, params: dict[str, Any]) -> None:
        super().heard(method, params)
        known = self.registration
        if known is None or any(params.get(name) != value for name, value in known.named.items()):
            return
        if method == "agent.superseded":
            self._link.end(Superseded(str(params.get("message"))))
        elif method == "agent.lease_lost":
            self._register_again()
        elif method == "agent.lapsed":
            self.beat_now()
        elif method == "agent.draining":
            self._drain_reason = self._drain_reason or str(params.get("reason") or params.get("message"))
            self._draining.set()

    def _register_again(self) -> None:
        self._must_register = True
        self._wake.set()

    # registering

    async def _ensure_not_replaced(self, wire: Wire, known: Registration) -> None:
        """Raises Superseded."""
        try:
            await wire.ask("agent.heartbeat", known.named)
        except Refused as refused:
            if refused.reason == "superseded":
                raise Superseded(f"another process has registered as {known.instance_id}") from None
            if not _is_over(refused):
                raise

    async def _register(self, wire: Wire) -> None:
        self._key = self._key or uuid4().hex
        params = {
            "agent_id": self.agent_id,
            "instance_id": self.instance_id,
            **self._said,
            "health": await self._vitals.read_health(),
            "idempotency_key": self._key,
        }
        try:
            answer = await wire.ask("agent.register", params)
        except ClientError as error:
            if not (isinstance(error, Refused) and error.retryable):
                self._key = None
            raise
        self._key, self._must_register = None, False
        self.registration = Registration.told(answer)
        _log.info("registered as %s, epoch %d", self.registration.registration_id, self.registration.epoch)
        if self._draining.is_set():
            await wire.ask("agent.drain", {**self.registration.named, "reason": self._drain_reason or "SIGTERM"})

    # beating

    async def _beat(self, wire: Wire) -> None:
        interval = self._known.heartbeat_interval_seconds
        try:
            while True:
                await self._until_due(interval)
                if self._must_register:
                    await self._register(wire)
                else:
                    interval = await self._say(wire, await self._vitals.read()) or interval
        except Disconnected:
            self._link.withdraw(wire)
        except ClientError as error:
            if isinstance(error, Refused) and error.retryable:  # of registering again: a new connection tries it anew
                wire.abort()
            else:
                self._link.end(error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not let the lease end in silence
            self._link.end(failure(error))

    async def _until_due(self, interval: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(jitter(interval, EARLIEST * interval)):
                await self._wake.wait()
        self._wake.clear()

    async def _say(self, wire: Wire, vitals: Mapping[str, Any]) -> float | None:
        """The next interval in seconds; None: as before."""
        try:
            answer = await wire.ask("agent.heartbeat", {**self._known.named, **vitals})
        except Refused as refused:
            return await self._judge(wire, refused, vitals)
        return float(answer["heartbeat_interval_seconds"])

    async def _judge(self, wire: Wire, refused: Refused, vitals: Mapping[str, Any]) -> float | None:
        """Raises Superseded."""
        if refused.reason == "superseded":
            raise Superseded(str(refused))
        if _is_over(refused):
            self._register_again()
        elif refused.retryable:
            _log.warning("a heartbeat was not taken: %s", refused)
        else:
            _log.error("a heartbeat was refused, and is sent without what the program says: %s", refused)
            return await self._say(wire, {}) if vitals else None
        return None


def _is_over(refused: Refused) -> bool:
    """The registration is gone: a new one must be made."""
    return refused.reason in {"must_register", "not_found"}
