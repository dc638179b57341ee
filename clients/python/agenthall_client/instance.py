"""An agent instance: it registers, renews its lease with heartbeats, works on jobs, and deregisters."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from agenthall_client.connection.credentials import TokenSource
from agenthall_client.connection.message_channel import Disconnected, MessageChannel
from agenthall_client.connection.timing import Timing
from agenthall_client.discovery.instance_record import InstanceRecord
from agenthall_client.lease.heartbeat_callbacks import HealthCallback, HeartbeatCallbacks, ValuesCallback
from agenthall_client.lease.heartbeats import Heartbeats
from agenthall_client.lease.instance_ids import ClaimedInstanceId, claim_instance_id
from agenthall_client.lease.lease import Lease
from agenthall_client.lease.registration import Registration, State

from .client import Client
from .errors import ClientError, Closed, Refused, Superseded, unexpected_error
from .jobs.assigned_jobs import AssignedJobs
from .jobs.handlers import Handler, run_with
from .jobs.job import Job
from .jobs.messenger import JobMessenger
from .jobs.serving import serve_jobs
from .sigterm import on_first_sigterm
from .string_lists import string_list

_log = logging.getLogger("agenthall_client")

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
    `slots`: how many jobs the instance works on at a time. None: it takes no jobs.
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
        slots: int | None = None,
        drain_on_sigterm: bool = False,
        timing: Timing | None = None,
    ) -> None:
        super().__init__(url, api_key=api_key, token=token, tenant_id=tenant_id, timing=timing)
        self.agent_id = agent_id
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
        self._slots = slots
        self._claimed_id = None if instance_id is None else ClaimedInstanceId(instance_id)
        self._callbacks = HeartbeatCallbacks(health, load, metrics)
        self._drain_on_sigterm = drain_on_sigterm
        self._signal_handlers = contextlib.ExitStack()
        self._lease = Lease(self._describe, self._on_registered, self._on_draining)
        self._jobs = AssignedJobs(
            slots, self._lease, JobMessenger(lambda: self._connection, self._lease, self.beat_now)
        )
        self._heartbeats: Heartbeats | None = None
        self._heartbeat_task: asyncio.Task[None] | None = None
        self._drain_tasks: set[asyncio.Task[Any]] = set()
        self._final_state: State | None = None

    @property
    def instance_id(self) -> str:
        """Raises Closed before `async with` when no instance_id was given."""
        if self._claimed_id is None:
            raise Closed("The instance_id is not known yet. Use it inside `async with`.")
        return self._claimed_id.instance_id

    @property
    def registration(self) -> Registration | None:
        return self._lease.registration

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
        if self._lease.draining.is_set():
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
        instance = await self._connection.request("agent.update", lambda: {**self._lease.reference, **given})
        self._description |= given
        return InstanceRecord.from_json(instance)

    async def drain(self, reason: str = "draining") -> None:
        """Leave discovery for good, to finish running work and take no more. Raises Refused, Forbidden, Unreachable."""
        connection = self._connection
        self._lease.start_draining(reason)
        try:
            await connection.request("agent.drain", lambda: {**self._lease.reference, "reason": reason})
        except Refused as refused:
            if refused.reason != "must_register":
                raise
            self._request_registration()  # which drains

    async def until_draining(self) -> None:
        """Wait for `drain`, for SIGTERM with `drain_on_sigterm`, or until the server orders to drain."""
        await self._lease.draining.wait()

    def beat_now(self) -> None:
        """Send the next heartbeat now, because health or load have changed."""
        if self._heartbeats is not None:
            self._heartbeats.beat_now()

    # Jobs

    async def jobs(self) -> AsyncIterator[Job]:
        """Yield jobs, until the instance drains. Several tasks may iterate at the same time.

        Raises ValueError without `slots`, and the final error of the instance.
        """
        if not self._slots:
            raise ValueError("The instance takes no jobs. Pass slots= with the number of jobs at a time.")
        while (job := await self._jobs.take()) is not None:
            yield job

    async def serve(self, handler: Handler) -> None:
        """Give each job to `handler`, in a separate task, until the instance drains and all jobs have ended.

        `handler`: an async generator of tokens, a coroutine function, a generator or function (which run in threads),
        or a compiled LangGraph graph. Raises TypeError, and what `jobs` raises.
        """
        await serve_jobs(self.jobs(), run_with(handler, self._slots or 1))

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
        self._jobs.stop(Closed("the instance was closed"))
        self._stop_heartbeats()
        for task in self._drain_tasks:
            task.cancel()
        if self._claimed_id is not None:
            self._claimed_id.release()

    def _on_final_error(self, error: ClientError) -> None:
        self._final_state = State.FAILED
        instance_id = self._claimed_id and self._claimed_id.instance_id
        _log.error("instance %s of agent %s failed: %s", instance_id, self.agent_id, error)
        self._jobs.stop(error)
        super()._on_final_error(error)

    def _on_sigterm(self) -> None:
        _log.info("SIGTERM: draining")
        self._lease.start_draining("SIGTERM")
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
        self._jobs.stop_taking()
        if self._drain_tasks:  # watchers see `draining` before `deregistered`
            await asyncio.wait(self._drain_tasks, timeout=self._timing.leave)
        await self._jobs.flush(self._timing.leave)
        self._stop_heartbeats()
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
        await self._lease.resume(channel)
        self._stop_heartbeats()
        self._heartbeats = Heartbeats(channel, self._lease, self._callbacks, self._jobs)
        self._heartbeat_task = asyncio.create_task(
            self._run_heartbeats(channel, self._heartbeats), name="agenthall.heartbeat"
        )

    async def _run_heartbeats(self, channel: MessageChannel, heartbeats: Heartbeats) -> None:
        try:
            await heartbeats.run()
        except Disconnected:
            self._connection.discard(channel)
        except ClientError as error:
            if isinstance(error, Refused) and error.retryable:  # of a registration: retried on a new connection
                channel.abort()
            else:
                self._connection.fail(error)
        except Exception as error:  # noqa: BLE001 - a fault here must not let the lease expire unnoticed
            self._connection.fail(unexpected_error(error))

    def _stop_heartbeats(self) -> None:
        if self._heartbeat_task is not None:
            self._heartbeat_task.cancel()

    def _on_disconnected(self, channel: MessageChannel) -> None:
        if self._heartbeats is not None and self._heartbeats.channel is channel:
            self._stop_heartbeats()
        super()._on_disconnected(channel)

    def _on_notification(self, method: str, params: dict[str, Any]) -> None:
        super()._on_notification(method, params)
        self._jobs.on_notification(method, params)
        if not self._lease.is_current(params):
            return
        if method == "agent.superseded":
            self._connection.fail(Superseded(str(params.get("message"))))
        elif method == "agent.lease_lost":
            self._request_registration()
        elif method == "agent.lapsed":
            self.beat_now()
        elif method == "agent.draining":
            self._lease.start_draining(str(params.get("reason") or params.get("message")))

    # Registering

    def _request_registration(self) -> None:
        self._lease.needs_registration = True
        self.beat_now()

    async def _describe(self) -> dict[str, Any]:
        return {
            "agent_id": self.agent_id,
            "instance_id": self.instance_id,
            **self._description,
            **self._jobs.registration(),
            "health": await self._callbacks.read_health(),
        }

    def _on_registered(self, result: Mapping[str, Any]) -> None:
        self._jobs.on_registered(result)

    def _on_draining(self) -> None:
        self._jobs.stop_taking()
