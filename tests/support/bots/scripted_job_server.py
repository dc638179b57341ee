"""A WebSocket server that gives jobs to instances as a test tells it, and remembers what they report.

It keeps everything in memory and answers as `docs/reference/websocket.md` says. A FaultyProxy in front of it breaks
connections.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

from servers.live_server import until
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State


class Refusal(Exception):
    def __init__(self, reason: str, code: int = 4008, field: str | None = None, *, retryable: bool = False) -> None:
        super().__init__(reason)
        self.error = {
            "code": code,
            "message": f"refused: {reason}",
            "data": {"reason": reason, "field": field},
            "retryable": retryable,
        }


@dataclass
class GivenJob:
    """`events`: what the instance reported. `end`: the params with which it ended the job."""

    offer: dict[str, Any]
    registration_id: str
    epoch: int
    state: str = "offered"
    events: list[tuple[str, Any]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    end: dict[str, Any] | None = None
    rejected: str | None = None
    has_cancel: bool = False

    @property
    def job_id(self) -> str:
        return self.offer["job_id"]

    @property
    def tokens(self) -> str:
        return "".join(data for event, data in self.events if event == "token")

    async def ended(self) -> dict[str, Any]:
        await until(lambda: self.end is not None)
        assert self.end is not None
        return self.end

    async def reached(self, state: str) -> None:
        await until(lambda: self.state == state)


@dataclass
class KnownInstance:
    registration_id: str
    epoch: int = 0
    key: str | None = None
    slots: int | None = None
    status: str = "active"
    socket: ServerConnection | None = None


class ScriptedJobServer:
    """`received`: the methods and params of all requests.

    `silent`: requests of these methods are ignored. `unanswered`: those are carried out, and not answered.
    `refusals`: the next request of a method is refused.
    `overlaps`: registrations of an instance whose earlier connection was still open.
    `heartbeat_seconds`: the interval of the instances. `on_register`: called before a registration is answered.
    """

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, Any]]] = []
        self.instances: dict[tuple[str, str], KnownInstance] = {}
        self.jobs: dict[str, GivenJob] = {}
        self.silent: set[str] = set()
        self.unanswered: set[str] = set()
        self.refusals: dict[str, Refusal] = {}
        self.heartbeat_seconds = 0.3
        self.on_register: Callable[[KnownInstance], None] = lambda _: None
        self.overlaps = 0
        self.port = 0

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        async with serve(
            self._serve, "127.0.0.1", 0, subprotocols=["mcp.v1"], max_size=2**20 + 1, ping_interval=None
        ) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    # Actions of a test

    def instance(self, agent_id: str) -> KnownInstance:
        (found,) = (each for (name, _), each in self.instances.items() if name == agent_id)
        return found

    async def has_slots(self, agent_id: str) -> KnownInstance:
        """Wait until an instance of the agent takes jobs."""
        await until(lambda: any(name == agent_id and each.slots for (name, _), each in self.instances.items()))
        return self.instance(agent_id)

    async def offer(self, agent_id: str, *, attempt: int = 1, **members: Any) -> GivenJob:
        """Offer a job, with `members` in place of the defaults."""
        instance = await self.has_slots(agent_id)
        offer = {
            "job_id": str(uuid4()),
            "attempt": attempt,
            "idempotency_key": "key",
            "agent_id": agent_id,
            "run_id": None,
            "thread_id": str(uuid4()),
            "input": {"messages": [{"type": "human", "content": "hello"}]},
            "resume": None,
            "config": {"configurable": {}, "metadata": {}},
            "context": {},
            "user": {"identity": "caller"},
            "stream_mode": ["messages", "values"],
            "deadline": None,
            "accept_within_seconds": 2.0,
            "unknown_member": 1,
        } | members
        job = GivenJob(offer, instance.registration_id, instance.epoch)
        self.jobs[job.job_id] = job
        await self.notify(instance, "job.offer", job=offer)
        return job

    async def cancel(self, job: GivenJob, reason: str = "the user stopped it") -> None:
        job.has_cancel = True
        await self._tell(job, "job.cancel", reason=reason, grace_seconds=10)

    async def lose(self, job: GivenJob) -> None:
        job.state = "lost"
        await self._tell(job, "job.lost", reason="given to another")

    async def _tell(self, job: GivenJob, method: str, **params: Any) -> None:
        instance = next(each for each in self.instances.values() if each.registration_id == job.registration_id)
        await self.notify(instance, method, job_id=job.job_id, attempt=job.offer["attempt"], **params)

    async def restart(self, agent_id: str) -> None:
        """Announce a restart, and leave the connection open."""
        await self.notify(self.instance(agent_id), "server.restarting", reconnect_after_seconds=0.5)

    async def close(self, agent_id: str, code: int) -> None:
        socket = self.instance(agent_id).socket
        assert socket is not None
        await socket.close(code)

    async def notify(self, instance: KnownInstance, method: str, **params: Any) -> None:
        reference = {"registration_id": instance.registration_id, "epoch": instance.epoch}
        assert instance.socket is not None
        await self._send(instance.socket, {"type": 2, "method": method, "params": {**reference, **params}})

    def requests(self, method: str) -> list[dict[str, Any]]:
        return [params for name, params in self.received if name == method]

    # Answers to an instance

    async def _serve(self, socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in socket:
                await self._handle(socket, json.loads(text))

    async def _handle(self, socket: ServerConnection, message: Mapping[str, Any]) -> None:
        method, params = message["method"], message["params"]
        self.received.append((method, params))
        if method in self.silent:
            return
        try:
            if method in self.refusals:
                raise self.refusals.pop(method)
            result = await self._answer(socket, method, params)
        except Refusal as refusal:
            await self._send(socket, {"type": 3, "id": message["id"], "error": refusal.error})
        else:
            if method in self.unanswered:
                return
            await self._send(socket, {"type": 1, "id": message["id"], "result": result})

    @staticmethod
    async def _send(socket: ServerConnection, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(ConnectionClosed):
            await socket.send(json.dumps(message))

    async def _answer(self, socket: ServerConnection, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "agent.register":
            return await self._register(socket, params)
        if method.startswith("job.") and method != "job.extend":
            return getattr(self, f"_{method.removeprefix('job.')}")(self._job_of(params), params)
        instance = next(each for each in self.instances.values() if each.registration_id == params["registration_id"])
        if params["epoch"] != instance.epoch:
            raise Refusal("superseded")
        if method == "agent.drain":
            instance.status = "draining"
        if method == "agent.deregister":
            instance.status = "inactive"
        if method == "agent.heartbeat":
            return {"heartbeat_interval_seconds": self.heartbeat_seconds, "jobs": self._extend(params.get("jobs", []))}
        return {"registration_status": instance.status}

    def _extend(self, named: list[dict[str, Any]]) -> list[dict[str, Any]]:
        def is_running(each: dict[str, Any]) -> bool:
            job = self.jobs[each["job_id"]]
            return job.state == "running" and job.offer["attempt"] == each["attempt"]

        return [
            {**each, "outcome": "ok" if is_running(each) else "fenced", "cancel": self.jobs[each["job_id"]].has_cancel}
            for each in named
        ]

    async def _register(self, socket: ServerConnection, params: dict[str, Any]) -> dict[str, Any]:
        key = params["agent_id"], params["instance_id"]
        instance = self.instances.setdefault(key, KnownInstance(str(uuid4())))
        if instance.key != params["idempotency_key"]:
            instance.epoch += 1
            instance.key = params["idempotency_key"]
        earlier, instance.socket = instance.socket, socket
        instance.slots, instance.status = params.get("slots"), "active"
        if earlier is not None and earlier is not socket:
            self.overlaps += earlier.state is State.OPEN
            told = {"registration_id": instance.registration_id, "epoch": instance.epoch - 1, "message": "superseded"}
            await self._send(earlier, {"type": 2, "method": "agent.superseded", "params": told})
            await earlier.close(4409, "superseded")
        self.on_register(instance)
        return {
            "registration_id": instance.registration_id,
            "manifest_id": "m",
            "config_id": "c",
            "instance_id": params["instance_id"],
            "epoch": instance.epoch,
            "is_new": instance.epoch == 1,
            "lease_ttl_seconds": 15,
            "heartbeat_interval_seconds": self.heartbeat_seconds,
            "jobs": [self._continue(job, instance) for job in self._continued(instance, params.get("jobs", []))],
        }

    def _continued(self, instance: KnownInstance, named: list[str]) -> list[GivenJob]:
        held = [job for job in self.jobs.values() if job.registration_id == instance.registration_id]
        for job in held:
            if job.state in {"offered", "running"} and job.job_id not in named and job.epoch < instance.epoch:
                job.state = "lost"
        return [job for job in held if job.state == "running" and job.job_id in named]

    @staticmethod
    def _continue(job: GivenJob, instance: KnownInstance) -> dict[str, Any]:
        job.epoch = instance.epoch
        applied = {"applied_through": len(job.events), "cancel": job.has_cancel}
        return {"job_id": job.job_id, "attempt": job.offer["attempt"], **applied}

    def _job_of(self, params: dict[str, Any]) -> GivenJob:
        job = self.jobs[params["job_id"]]
        expected = (job.offer["attempt"], job.registration_id, job.epoch)
        if (params["attempt"], params["registration_id"], params["epoch"]) != expected:
            raise Refusal("fenced")
        return job

    def _accept(self, job: GivenJob, params: dict[str, Any]) -> dict[str, Any]:
        self._require(job, {"offered", "running"})
        job.state = "running"
        return {"job_id": job.job_id, "attempt": params["attempt"], "lease_seconds": 30}

    def _reject(self, job: GivenJob, params: dict[str, Any]) -> dict[str, Any]:
        self._require(job, {"offered", "running"})
        job.state, job.rejected = "rejected" if job.state == "offered" else "handed_back", params["reason"]
        return {"job_id": job.job_id, "attempt": params["attempt"]}

    def _events(self, job: GivenJob, params: dict[str, Any]) -> dict[str, Any]:
        self._require(job, {"running"})
        first, events = params["first_seq"], params["events"]
        if first <= len(job.events) + 1:
            new = events[len(job.events) + 1 - first :]
            job.events += [(each["event"], each["data"]) for each in new]
            job.batches.append(len(new))
        return {"job_id": job.job_id, "attempt": params["attempt"], "applied_through": len(job.events)}

    def _finish(self, job: GivenJob, params: dict[str, Any]) -> dict[str, Any]:
        self._require(job, {"running"})
        assert params["through_seq"] == len(job.events), params
        job.state = "ended"
        named = {"registration_id", "epoch", "job_id", "attempt", "through_seq"}
        job.end = {name: value for name, value in params.items() if name not in named}
        return {"job_id": job.job_id, "attempt": params["attempt"]}

    @staticmethod
    def _require(job: GivenJob, states: set[str]) -> None:
        if job.state not in states:
            raise Refusal("fenced")


@contextlib.asynccontextmanager
async def scripted_job_server() -> AsyncIterator[ScriptedJobServer]:
    async with ScriptedJobServer().serving() as server:
        yield server
