"""The transports of jobs behind one interface, for tests that all of them must pass: WebSocket, HTTP and SQL."""

from __future__ import annotations

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson
from databases import fresh_database
from deadlines import DEADLINE
from network.websocket_client import Refused, WebSocketClient, dial
from servers.live_server import LiveServer, live_server
from servers.sockets_process import SocketsProcess
from users.demo_users import HARBOUR, MEADOW

from robyn_server.core.access.principal import LOCAL
from robyn_server.identity.api_keys import ApiKeyService, KeyRequest
from robyn_server.storage.api_keys import ApiKeys
from robyn_server.storage.postgres.pools import Role, open_pool

ACCEPT_SECONDS = 300
"""How long an offer stands here. On a busy machine, the two seconds of the default may pass between two statements."""

Job = dict[str, Any]
Event = tuple[str, Any]


class JobRefused(Exception):
    """The code of an error, and the first part of the field that it names."""

    def __init__(self, code: str, field: str | None = None) -> None:
        super().__init__(code, field)
        self.code = code
        self.field = None if field is None else field.partition(".")[0]


@dataclass
class Instance:
    """`jobs`: those that go on from an earlier epoch."""

    agent_id: str
    instance_id: str
    registration_id: str
    epoch: int
    jobs: list[Job] = field(default_factory=list)
    socket: WebSocketClient | None = None


class JobDeployment:
    """A web and a sockets process. `key` belongs to HARBOUR, `other_key` to MEADOW. `owner`: the database."""

    def __init__(self, server: LiveServer, sockets: SocketsProcess, owner: Any, app: Any, keys: ApiKeyService) -> None:
        self.server = server
        self.sockets = sockets
        self.owner = owner
        self.app = app
        self.keys = keys
        self.key = self.other_key = ""

    async def issue_key(self, organization: str, **request: Any) -> str:
        made = await self.keys.create(LOCAL, KeyRequest(frozenset({UUID(organization)}), **request))
        return made.text.text

    async def create(self, agent_id: str, given: Job | None = None, **more: Any) -> str:
        """Create a job in SQL, which notifies by itself."""
        names = "".join(f", {name} => ${number}" for number, name in enumerate(more, start=5))
        job_id = uuid4()
        await self.owner.execute(
            f"select from mcp.create_agent_job($1, $2, $3::text::jsonb, $4{names})",
            UUID(HARBOUR),
            agent_id,
            json.dumps(given or {}),
            job_id,
            *more.values(),
        )
        return str(job_id)

    async def job(self, job_id: str) -> Any:
        return await self.owner.fetchrow("select * from mcp.agent_jobs where id = $1", UUID(job_id))

    async def state(self, job_id: str) -> str:
        return str((await self.job(job_id))["state"])

    async def stored_events(self, job_id: str) -> list[tuple[int, str, Any]]:
        rows = await self.owner.fetch(
            "select seq, event, data from mcp.agent_job_events where job_id = $1 order by attempt, seq", UUID(job_id)
        )
        return [(row["seq"], row["event"], orjson.loads(row["data"])) for row in rows]

    async def offers(self, job_id: str) -> list[Any]:
        query = "select * from mcp.agent_job_offers where job_id = $1 order by ordinal"
        return list(await self.owner.fetch(query, UUID(job_id)))

    async def sweep(self, seconds: float) -> None:
        """Sweep as of so many seconds from now."""
        await self.owner.execute(
            "select from mcp.sweep_agent_jobs(clock_timestamp() + make_interval(secs => $1))", seconds
        )


class Transport(ABC):
    """Messages of instances. `ref` overrides members of the reference: attempt, epoch, registration_id."""

    name: str

    def __init__(self, deployment: JobDeployment, key: str) -> None:
        self.deployment = deployment
        self.key = key

    @abstractmethod
    async def register(
        self, agent_id: str, instance_id: str = "i-1", slots: int = 1, jobs: Sequence[str] = ()
    ) -> Instance: ...
    @abstractmethod
    async def offer(self, instance: Instance) -> Job:
        """Wait for the next offer."""

    @abstractmethod
    async def has_offer(self, instance: Instance) -> bool:
        """Whether there is an offer now."""

    @abstractmethod
    async def send(self, verb: str, instance: Instance, job: Job, **params: Any) -> Any: ...
    @abstractmethod
    async def heartbeat(self, instance: Instance, *jobs: Job) -> list[Job]: ...
    @abstractmethod
    async def end(self, verb: str, instance: Instance) -> None:
        """drain or deregister."""

    async def accept(self, instance: Instance, job: Job, **ref: Any) -> Any:
        return await self.send("accept", instance, job, **ref)

    async def events(self, instance: Instance, job: Job, first_seq: int, *events: Event, **ref: Any) -> int:
        sent = [{"event": name, "data": data} for name, data in events]
        return int(
            (await self.send("events", instance, job, first_seq=first_seq, events=sent, **ref))["applied_through"]
        )

    async def run(self, instance: Instance) -> Job:
        """Accept the next offer."""
        job = await self.offer(instance)
        await self.accept(instance, job)
        return job


class WebSocketTransport(Transport):
    name = "websocket"

    def __init__(self, deployment: JobDeployment, key: str, stack: contextlib.AsyncExitStack) -> None:
        super().__init__(deployment, key)
        self._stack = stack
        self.url = deployment.sockets.url

    async def dial(self) -> WebSocketClient:
        return await self._stack.enter_async_context(dial(self.url, headers={"X-API-Key": self.key}))

    async def register(
        self, agent_id: str, instance_id: str = "i-1", slots: int = 1, jobs: Sequence[str] = ()
    ) -> Instance:
        socket = await self.dial()
        asked = {"agent_id": agent_id, "instance_id": instance_id, "slots": slots, "jobs": list(jobs)}
        made = await self._ask(socket, "agent.register", asked)
        return Instance(agent_id, instance_id, made["registration_id"], made["epoch"], made["jobs"], socket)

    async def offer(self, instance: Instance) -> Job:
        assert instance.socket is not None
        told = await instance.socket.wait_for_notification("job.offer")
        assert (told["registration_id"], told["epoch"]) == (instance.registration_id, instance.epoch)
        return dict(told["job"])

    async def has_offer(self, instance: Instance) -> bool:
        assert instance.socket is not None
        await instance.socket.ask("ping")
        return any(each["method"] == "job.offer" for each in instance.socket.notifications)

    async def send(self, verb: str, instance: Instance, job: Job, **params: Any) -> Any:
        assert instance.socket is not None
        ref = {name: getattr(instance, name) for name in ("registration_id", "epoch")}
        asked = {**ref, "job_id": job["job_id"], "attempt": job["attempt"], **params}
        if verb == "extend":
            return await self._extend(instance.socket, asked)
        return await self._ask(instance.socket, f"job.{verb}", asked)

    async def _extend(self, socket: WebSocketClient, asked: Any) -> Any:
        named = {name: asked.pop(name) for name in ("job_id", "attempt")}
        (answer,) = (await self._ask(socket, "job.extend", {**asked, "jobs": [named]}))["jobs"]
        if answer["outcome"] != "ok":
            raise JobRefused(answer["outcome"], "job_id")
        return answer

    async def heartbeat(self, instance: Instance, *jobs: Job) -> list[Job]:
        assert instance.socket is not None
        named = [{"job_id": each["job_id"], "attempt": each["attempt"]} for each in jobs]
        answer = await self._ask(instance.socket, "agent.heartbeat", {"jobs": named})
        return list(answer["jobs"])

    async def end(self, verb: str, instance: Instance) -> None:
        assert instance.socket is not None
        await self._ask(instance.socket, f"agent.{verb}", {})

    async def _ask(self, socket: WebSocketClient, method: str, params: Any) -> Any:
        try:
            return await socket.ask(method, **params)
        except Refused as refused:
            raise JobRefused(refused.reason, refused.field) from None


class HttpTransport(Transport):
    name = "http"

    def __init__(self, deployment: JobDeployment, key: str, http: httpx.AsyncClient) -> None:
        super().__init__(deployment, key)
        self.http = http

    async def register(
        self, agent_id: str, instance_id: str = "i-1", slots: int = 1, jobs: Sequence[str] = ()
    ) -> Instance:
        body = {"agent_id": agent_id, "instance_id": instance_id, "slots": slots, "jobs": list(jobs)}
        made = await self._post("/agents/instances", body)
        return Instance(agent_id, instance_id, made["registration_id"], made["epoch"], made["jobs"])

    async def offer(self, instance: Instance) -> Job:
        async with asyncio.timeout(DEADLINE):
            while not (found := await self.claim(instance, wait_seconds=10)):
                pass
        return found[0]

    async def has_offer(self, instance: Instance) -> bool:
        return bool(await self.claim(instance))

    async def claim(self, instance: Instance, **more: Any) -> list[Job]:
        path = f"/agents/instances/{instance.registration_id}/jobs/claim"
        return list((await self._post(path, {"epoch": instance.epoch, **more}))["jobs"])

    async def send(self, verb: str, instance: Instance, job: Job, **params: Any) -> Any:
        ref = {"registration_id": instance.registration_id, "epoch": instance.epoch, "attempt": job["attempt"]}
        return await self._post(f"/agents/jobs/{job['job_id']}/{verb}", {**ref, **params})

    async def heartbeat(self, instance: Instance, *jobs: Job) -> list[Job]:
        named = [{"job_id": each["job_id"], "attempt": each["attempt"]} for each in jobs]
        path = f"/agents/instances/{instance.registration_id}/heartbeat"
        return list((await self._post(path, {"epoch": instance.epoch, "jobs": named}))["jobs"])

    async def end(self, verb: str, instance: Instance) -> None:
        path = f"/agents/instances/{instance.registration_id}"
        if verb == "drain":
            await self._post(f"{path}/drain", {"epoch": instance.epoch})
        else:
            answer = await self.http.delete(path, params={"epoch": instance.epoch})
            assert answer.status_code == 204

    async def _post(self, path: str, body: Any) -> Any:
        answer = await self.http.post(path, json=body)
        if answer.status_code >= 400:
            raise JobRefused(answer.json()["code"], answer.json().get("field"))
        return answer.json()


class SqlTransport(Transport):
    """Polls as mcp.claim_agent_jobs and mcp.take_agent_offers."""

    name = "sql"

    def __init__(self, deployment: JobDeployment, tenant: str) -> None:
        super().__init__(deployment, "")
        self.tenant = UUID(tenant)

    async def register(
        self, agent_id: str, instance_id: str = "i-1", slots: int = 1, jobs: Sequence[str] = ()
    ) -> Instance:
        row = await self._row("register_agent_instance($1, $2, $3)", agent_id, instance_id)
        opened = await self._row(
            "open_agent_slots($1, $2, $3, $4, $5)",
            row["registration_id"],
            row["epoch"],
            slots,
            [UUID(each) for each in jobs],
            polls=True,
        )
        assert opened["outcome"] == "ok"
        continued = orjson.loads(opened["continued"])
        return Instance(agent_id, instance_id, str(row["registration_id"]), row["epoch"], continued)

    async def offer(self, instance: Instance) -> Job:
        async with asyncio.timeout(DEADLINE):
            while not (found := await self.claim(instance)):
                await asyncio.sleep(0.05)
        return found[0]

    async def has_offer(self, instance: Instance) -> bool:
        return bool(await self.claim(instance))

    async def claim(self, instance: Instance, max_jobs: int = 1) -> list[Job]:
        who = UUID(instance.registration_id), instance.epoch, max_jobs
        await self._row("claim_agent_jobs($1, $2, $3, $4)", *who)
        rows = await self.deployment.app.fetch("select * from mcp.take_agent_offers($1, $2, $3, $4)", self.tenant, *who)
        return [{**dict(row), "job_id": str(row["job_id"])} for row in rows]

    async def send(self, verb: str, instance: Instance, job: Job, **params: Any) -> Any:
        ref = [
            UUID(job["job_id"]),
            params.pop("attempt", job["attempt"]),
            UUID(params.pop("registration_id", instance.registration_id)),
            params.pop("epoch", instance.epoch),
        ]
        row = await getattr(self, f"_{verb}")(ref, **params)
        if row["outcome"] == "fenced":
            raise JobRefused("fenced", "job_id")
        if row["outcome"] == "gap" and verb == "finish":
            raise JobRefused("events_missing", "through_seq")
        return dict(row)

    async def _accept(self, ref: list[Any]) -> Any:
        return await self._row("accept_agent_job($1, $2, $3, $4, $5)", *ref)

    async def _reject(self, ref: list[Any], reason: str | None = None) -> Any:
        return await self._row("reject_agent_job($1, $2, $3, $4, $5)", *ref, reason=reason)

    async def _events(self, ref: list[Any], first_seq: int, events: list[Job]) -> Any:
        names = [each["event"] for each in events]
        data = [orjson.dumps(each["data"]).decode() for each in events]
        return await self._row("append_job_events($1, $2, $3, $4, $5, $6, $7, $8)", *ref, first_seq, names, data)

    async def _extend(self, ref: list[Any]) -> Any:
        job_id, attempt, registration_id, epoch = ref
        query = "select * from mcp.extend_agent_jobs($1, $2, $3, $4, tenant_ids => $5)"
        columns = [registration_id], [epoch], [job_id], [attempt], [self.tenant]
        async with self.deployment.app.acquire() as connection, connection.transaction():
            await connection.execute("select mcp.act_for($1)", self.tenant)
            return await connection.fetchrow(query, *columns)

    async def _finish(self, ref: list[Any], through_seq: int = 0, **end: Any) -> Any:
        state = "failed" if "error" in end else "cancelled" if "cancelled" in end else "succeeded"
        more = {name: orjson.dumps(value).decode() for name, value in end.items() if name != "cancelled"}
        return await self._row(
            "finish_agent_job($1, $2, $3, $4, $5)", *ref, through_seq=through_seq, state=state, **more
        )

    async def heartbeat(self, instance: Instance, *jobs: Job) -> list[Job]:
        await self._row("heartbeat_agent_instance($1, $2, $3)", UUID(instance.registration_id), instance.epoch)
        found = []
        for each in jobs:
            ref = [UUID(each["job_id"]), each["attempt"], UUID(instance.registration_id), instance.epoch]
            row = await self._extend(ref)
            found.append({**each, "outcome": row["outcome"], "cancel": row["cancel"]})
        return [{name: each[name] for name in ("job_id", "attempt", "outcome", "cancel")} for each in found]

    async def end(self, verb: str, instance: Instance) -> None:
        await self._row(f"{verb}_agent_instance($1, $2, $3)", UUID(instance.registration_id), instance.epoch)

    async def _row(self, call: str, *arguments: Any, **more: Any) -> Any:
        first = len(arguments) + 2
        names = "".join(f", {name} => ${number}" for number, name in enumerate(more, start=first))
        query = f"select * from mcp.{call.rstrip(')')}{names})"
        try:
            return await self.deployment.app.fetchrow(query, self.tenant, *arguments, *more.values())
        except asyncpg.InvalidParameterValueError as error:
            raise JobRefused("invalid", error.column_name) from None


@contextlib.asynccontextmanager
async def open_job_deployment(postgres: str, template: str, folder: Path) -> AsyncIterator[JobDeployment]:
    async with fresh_database(postgres, template) as url, contextlib.AsyncExitStack() as stack:
        owner = await asyncpg.create_pool(url, min_size=1, max_size=4)
        stack.push_async_callback(owner.close)
        name = await owner.fetchval("select current_database()")
        await owner.execute(f"alter database \"{name}\" set mcp.job_accept_within = '{ACCEPT_SECONDS} s'")
        server = await stack.enter_async_context(live_server(url, workers=0, AUTH_MODE="keys"))
        sockets = SocketsProcess(server.environment, folder / "sockets.log")
        stack.callback(sockets.popen.wait)
        stack.callback(sockets.kill)
        app = await open_pool(url, Role.APP, size=4, name="test app")
        system = await open_pool(url, Role.SYSTEM, size=1, name="test system")
        for pool in (app, system):
            stack.push_async_callback(pool.close)
        keys = ApiKeyService(ApiKeys(system))
        opened = JobDeployment(server, sockets, owner, app, keys)
        opened.key, opened.other_key = await opened.issue_key(HARBOUR), await opened.issue_key(MEADOW)
        await sockets.ready()
        yield opened


@contextlib.asynccontextmanager
async def open_transport(name: str, deployment: JobDeployment, key: str, tenant: str) -> AsyncIterator[Transport]:
    async with contextlib.AsyncExitStack() as stack:
        if name == "websocket":
            yield WebSocketTransport(deployment, key, stack)
        elif name == "http":
            http = await stack.enter_async_context(deployment.server.http(**{"X-API-Key": key}))
            yield HttpTransport(deployment, key, http)
        else:
            yield SqlTransport(deployment, tenant)
