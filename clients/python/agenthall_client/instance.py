"""An agent instance: it registers, renews its lease with heartbeats, and deregisters.

Rules
  1. One registration at a time is in progress. It is repeated with the same idempotency key and values until an answer
     arrives, so a lost answer costs no epoch.
  2. After a broken connection the instance first asks whether its epoch is still current. If not, a newer process has
     taken over and this one ends (Superseded). Two processes never take turns.
  3. The instance remembers that it drains: after a broken connection it drains again.
  4. One task sends everything about the registration: heartbeats, and a new registration when one is needed.
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
from .errors import ClientError, Closed, Refused, Superseded, unexpected_error
from .heartbeat_callbacks import HealthCallback, HeartbeatCallbacks, ValuesCallback
from .instance_ids import ClaimedInstanceId, claim_instance_id
from .instance_record import InstanceRecord
from .message_channel import Disconnected, MessageChannel
from .registration import Registration, State
from .sigterm import on_first_sigterm
from .string_lists import string_list
from .timing import Timing

_log = logging.getLogger("agenthall_client")

MIN_INTERVAL_FRACTION = 0.85
"""A heartbeat follows after 85 to 100 % of the interval that the server sets."""

UPDATABLE_FIELDS = frozenset(
    {"name", "capabilities", "tags", "zone", "version", "runtime_config", "connection_details"}
)

_STRING_LISTS = frozenset({"capabilities", "tags"})


class AgentInstance(Client):
    """`async with AgentInstance("ide-agent", capabilities=["debugging"]) as me:` keeps an instance registered.

    `url`, `api_key`, `token` and `tenant_id`: see Client. `instance_id`: see `instance_ids.py` for the default.
    Of the instance's description, what is None keeps the value of an earlier registration.
    `health` returns starting, healthy, degraded or unhealthy; `load` an object whose `workload` is the number of
    running tasks; `metrics` an object. They are called for every heartbeat and must not block.
    `drain_on_sigterm`: the first SIGTERM drains, see `until_draining`.

    Raises what Client raises, and Superseded when a newer process has registered under the same instance_id.
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
        capabilities: Sequence[str] | None = None,
        agent_type: str | None = None,
        version: str | None = None,
        zone: str | None = None,
        tags: Sequence[str] | None = None,
        runtime_config: Mapping[str, Any] | None = None,
        connection_details: Mapping[str, Any] | None = None,
        health: HealthCallback | None = None,
        load: ValuesCallback | None = None,
        metrics: ValuesCallback | None = None,
        drain_on_sigterm: bool = False,
        timing: Timing | None = None,
    ) -> None:
        super().__init__(url, api_key=api_key, token=token, tenant_id=tenant_id, timing=timing)
        self.agent_id = agent_id
        self.registration: Registration | None = None
        optional = {
            "name": name,
            "agent_type": agent_type,
            "version": version,
            "zone": zone,
            "runtime_config": runtime_config,
            "connection_details": connection_details,
        }
        lists = {"capabilities": capabilities, "tags": tags}
        self._description: dict[str, Any] = {
            **{name: value for name, value in optional.items() if value is not None},
            **{name: string_list(name, value) for name, value in lists.items() if value is not None},
        }
        self._claimed_id = None if instance_id is None else ClaimedInstanceId(instance_id)
        self._callbacks = HeartbeatCallbacks(health, load, metrics)
        self._drain_on_sigterm = drain_on_sigterm
        self._signal_handlers = contextlib.ExitStack()
        self._unanswered: dict[str, Any] | None = None
        """The params of a registration whose answer has not arrived. It is repeated word for word."""
        self._needs_registration = False
        self._heartbeat_due = asyncio.Event()
        self._is_draining = asyncio.Event()
        self._drain_reason: str | None = None
        self._drain_tasks: set[asyncio.Task[Any]] = set()
        self._heartbeat_task: asyncio.Task[None] | None = None
        self._final_state: State | None = None

    @property
    def instance_id(self) -> str:
        """Raises Closed before `async with` when no instance_id was given."""
        if self._claimed_id is None:
            raise Closed("The instance_id is not known yet. Use it inside `async with`.")
        return self._claimed_id.instance_id

    @property
    def registration_id(self) -> str | None:
        return None if self.registration is None else self.registration.registration_id

    @property
    def epoch(self) -> int | None:
        return None if self.registration is None else self.registration.epoch

    @property
    def state(self) -> State:
        if self._final_state is not None:
            return self._final_state
        if self._is_draining.is_set():
            return State.DRAINING
        if self.registration is None:
            return State.CONNECTING
        return State.RECONNECTING if self._connection.current_channel is None else State.ACTIVE

    async def update(self, **changes: Any) -> InstanceRecord:
        """Change UPDATABLE_FIELDS of the instance, also for later registrations.

        Returns the instance after the change. Raises TypeError, Refused, Forbidden, Unreachable.
        """
        unknown = sorted(set(changes) - UPDATABLE_FIELDS)
        if unknown:
            raise TypeError(f"{unknown[0]} cannot be updated. Updatable: {', '.join(sorted(UPDATABLE_FIELDS))}.")
        lists = {
            name: string_list(name, changes[name])
            for name in _STRING_LISTS & changes.keys()
            if changes[name] is not None
        }
        given = changes | lists
        instance = await self._connection.request("agent.update", lambda: {**self._registered.reference, **given})
        self._description |= given
        return InstanceRecord.from_json(instance)

    @property
    def _registered(self) -> Registration:
        if self.registration is None:
            raise Closed("The instance has not registered.")
        return self.registration

    async def drain(self, reason: str = "draining") -> None:
        """Leave discovery for good, to finish running work and take no more. Raises Refused, Forbidden, Unreachable."""
        connection = self._connection
        self._drain_reason = self._drain_reason or reason
        self._is_draining.set()
        try:
            await connection.request("agent.drain", lambda: {**self._registered.reference, "reason": reason})
        except Refused as refused:
            if refused.reason != "must_register":
                raise
            self._request_registration()  # which drains

    async def until_draining(self) -> None:
        """Wait for `drain`, for SIGTERM with `drain_on_sigterm`, or until the server orders to drain."""
        await self._is_draining.wait()

    def beat_now(self) -> None:
        """Send the next heartbeat now, because health or load have changed."""
        self._heartbeat_due.set()

    # Opening and closing

    async def __aenter__(self) -> Self:
        self._claimed_id = self._claimed_id or await asyncio.to_thread(claim_instance_id, self.agent_id)
        try:
            if self._drain_on_sigterm:
                self._signal_handlers.enter_context(on_first_sigterm(self._on_sigterm))
            return await super().__aenter__()
        except BaseException:
            self._release(State.FAILED)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            self._release(State.CLOSED)

    def _release(self, final_state: State) -> None:
        self._final_state = self._final_state or final_state
        self._signal_handlers.close()
        for task in [*self._drain_tasks, *([self._heartbeat_task] if self._heartbeat_task else [])]:
            task.cancel()
        if self._claimed_id is not None:
            self._claimed_id.release()

    def _on_final_error(self, error: ClientError) -> None:
        self._final_state = State.FAILED
        instance_id = self._claimed_id and self._claimed_id.instance_id
        _log.error("instance %s of agent %s failed: %s", instance_id, self.agent_id, error)
        super()._on_final_error(error)

    def _on_sigterm(self) -> None:
        _log.info("SIGTERM: draining")
        self._is_draining.set()
        if self.registration is None:  # there is nothing to drain, and the server may never answer
            if self._opened is not None:
                self._opened.fail(Closed("SIGTERM arrived before the instance was registered"))
            return
        task = asyncio.create_task(self._drain_or_warn("SIGTERM"))
        self._drain_tasks.add(task)
        task.add_done_callback(self._drain_tasks.discard)

    async def _drain_or_warn(self, reason: str) -> None:
        try:
            await self.drain(reason)
        except ClientError as error:
            _log.warning("could not tell the server that this instance drains: %s", error)

    async def _close(self, error: BaseException | None) -> None:
        if self._heartbeat_task is not None:
            self._heartbeat_task.cancel()
        if self._drain_tasks:  # watchers see `draining` before `deregistered`
            await asyncio.wait(self._drain_tasks, timeout=self._timing.leave)
        channel = self._connection.current_channel
        if channel is not None and self.registration is not None:
            await self._deregister(channel, self.registration, error)
        await super()._close(error)

    async def _deregister(
        self, channel: MessageChannel, registration: Registration, error: BaseException | None
    ) -> None:
        reason = "done" if error is None else f"ended by {type(error).__name__}"
        try:
            async with asyncio.timeout(self._timing.leave):
                await channel.request("agent.deregister", {**registration.reference, "reason": reason})
        except (ClientError, Disconnected, TimeoutError) as failure:
            _log.warning("could not deregister; the lease will expire: %s", failure or type(failure).__name__)

    # The connection's listener

    async def _on_connected(self, channel: MessageChannel) -> None:
        if self.registration is not None and self._unanswered is None:
            await self._ensure_not_superseded(channel, self.registration)
        await self._register(channel)
        self._heartbeat_task = asyncio.create_task(self._run_heartbeats(channel), name="agenthall.heartbeat")

    def _on_disconnected(self, channel: MessageChannel) -> None:
        if self._heartbeat_task is not None:
            self._heartbeat_task.cancel()
        super()._on_disconnected(channel)

    def _on_notification(self, method: str, params: dict[str, Any]) -> None:
        super()._on_notification(method, params)
        registration = self.registration
        if registration is None or any(params.get(name) != value for name, value in registration.reference.items()):
            return
        if method == "agent.superseded":
            self._connection.fail(Superseded(str(params.get("message"))))
        elif method == "agent.lease_lost":
            self._request_registration()
        elif method == "agent.lapsed":
            self.beat_now()
        elif method == "agent.draining":
            self._drain_reason = self._drain_reason or str(params.get("reason") or params.get("message"))
            self._is_draining.set()

    # Registering

    def _request_registration(self) -> None:
        self._needs_registration = True
        self._heartbeat_due.set()

    async def _ensure_not_superseded(self, channel: MessageChannel, registration: Registration) -> None:
        """Raises Superseded."""
        try:
            await channel.request("agent.heartbeat", registration.reference)
        except Refused as refused:
            if refused.reason == "superseded":
                raise Superseded(f"another process has registered as {registration.instance_id}") from None
            if not _is_registration_gone(refused):
                raise

    async def _register(self, channel: MessageChannel) -> None:
        if self._unanswered is None:
            self._unanswered = {
                "agent_id": self.agent_id,
                "instance_id": self.instance_id,
                **self._description,
                "health": await self._callbacks.read_health(),
                "idempotency_key": uuid4().hex,
            }
        try:
            result = await channel.request("agent.register", self._unanswered)
        except ClientError as error:
            if not (isinstance(error, Refused) and error.retryable):
                self._unanswered = None
            raise
        self._unanswered, self._needs_registration = None, False
        self.registration = Registration.from_result(result)
        _log.info("registered as %s, epoch %d", self.registration.registration_id, self.registration.epoch)
        if self._is_draining.is_set():
            reason = self._drain_reason or "SIGTERM"
            await channel.request("agent.drain", {**self.registration.reference, "reason": reason})

    # Heartbeats

    async def _run_heartbeats(self, channel: MessageChannel) -> None:
        interval = self._registered.heartbeat_interval_seconds
        try:
            while True:
                await self._wait_until_due(interval)
                if self._needs_registration:
                    await self._register(channel)
                else:
                    interval = await self._send_heartbeat(channel, await self._callbacks.read()) or interval
        except Disconnected:
            self._connection.discard(channel)
        except ClientError as error:
            if isinstance(error, Refused) and error.retryable:  # of a registration: retried on a new connection
                channel.abort()
            else:
                self._connection.fail(error)
        except Exception as error:  # noqa: BLE001 - a fault here must not let the lease expire unnoticed
            self._connection.fail(unexpected_error(error))

    async def _wait_until_due(self, interval: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(jitter(interval, MIN_INTERVAL_FRACTION * interval)):
                await self._heartbeat_due.wait()
        self._heartbeat_due.clear()

    async def _send_heartbeat(self, channel: MessageChannel, values: Mapping[str, Any]) -> float | None:
        """Return the next interval in seconds. None: it does not change."""
        try:
            result = await channel.request("agent.heartbeat", {**self._registered.reference, **values})
        except Refused as refused:
            return await self._handle_refused_heartbeat(channel, refused, values)
        return float(result["heartbeat_interval_seconds"])

    async def _handle_refused_heartbeat(
        self, channel: MessageChannel, refused: Refused, values: Mapping[str, Any]
    ) -> float | None:
        """Raises Superseded."""
        if refused.reason == "superseded":
            raise Superseded(str(refused))
        if _is_registration_gone(refused):
            self._request_registration()
        elif refused.retryable:
            _log.warning("a heartbeat failed: %s", refused)
        else:
            _log.error("a heartbeat was refused; sending it without health, load and metrics: %s", refused)
            return await self._send_heartbeat(channel, {}) if values else None
        return None


def _is_registration_gone(refused: Refused) -> bool:
    """Whether the instance must register again."""
    return refused.reason in {"must_register", "not_found"}
