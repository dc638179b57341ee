"""Requests for each route, and callers in each role: the cells of the table of permissions.

The rows belong to the owner in HARBOUR. A caller that is refused is given the rows that all share. One that is allowed
gets new ones, because its request may end or delete them.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from users.demo_users import HARBOUR, RESEARCHER

from contract.registry.registry_api import add_brake, new_agent_id
from robyn_server.core.access.permissions import ANY_SCOPE, PERMISSIONS, Operation, Role
from robyn_server.core.access.scopes import PRIVILEGED, Scope

OWNER = "owner-of-cells"
_FAR = 86_400
"""Seconds until a run begins that is to stay pending."""


@dataclass(frozen=True, slots=True)
class Caller:
    """`scopes`: those of a key; None: not limited. `organizations`: whether it has any."""

    name: str
    role: Role
    client: httpx.AsyncClient
    scopes: frozenset[Scope] | None = None
    has_organization: bool = True

    def expected(self, operation: Operation) -> tuple[int, str | None]:
        """The status and the code of a refusal, as the table says; 200 stands for any success."""
        permission = PERMISSIONS[operation]
        if self.role is Role.ANYONE and permission.role is not Role.ANYONE:
            return 401, "token_missing"
        if not self._has_scope(operation):
            return 403, "scope_missing"
        if permission.in_organization and not self.has_organization:
            return 400, "organization_required"
        if permission.role is Role.ADMIN or self.role.includes(permission.role):
            return 200, None
        return 404, "not_found"

    def _has_scope(self, operation: Operation) -> bool:
        needed = PERMISSIONS[operation].scopes
        if needed == ANY_SCOPE or self.role is Role.ADMIN:
            return True
        if self.scopes is None:
            return bool(needed - PRIVILEGED)
        return bool(needed & self.scopes)


@dataclass(slots=True)
class Rows:
    """Makes rows of the owner. `names`: values of the parameters in paths."""

    owner: httpx.AsyncClient
    root: httpx.AsyncClient
    database: asyncpg.Connection[Any]
    names: dict[str, str] = field(default_factory=dict)

    async def post(self, path: str, body: Any, client: httpx.AsyncClient | None = None) -> Any:
        answer = await (client or self.owner).post(path, json=body)
        assert answer.is_success, (path, answer.text)
        return answer.json()

    async def thread(self) -> None:
        self.names["thread_id"] = (await self.post("/threads", {"metadata": {"graph_id": "echo"}}))["thread_id"]

    async def run(self) -> None:
        """A run that waits for its time."""
        await self.thread()
        body = {"assistant_id": "echo", "after_seconds": _FAR}
        self.names["run_id"] = (await self.post(f"/threads/{self.names['thread_id']}/runs", body))["run_id"]

    async def ended_run(self) -> None:
        await self.run()
        thread, run = self.names["thread_id"], self.names["run_id"]
        assert (await self.owner.post(f"/threads/{thread}/runs/{run}/cancel")).is_success

    async def used_thread(self) -> None:
        await self.thread()
        await self.post(f"/threads/{self.names['thread_id']}/runs/wait", {"assistant_id": "echo", "input": {"text": 1}})
        state = await self.owner.get(f"/threads/{self.names['thread_id']}/state")
        self.names["checkpoint_id"] = state.json()["checkpoint"]["checkpoint_id"]

    async def assistant(self) -> None:
        self.names["assistant_id"] = (await self.post("/assistants", {"graph_id": "echo"}))["assistant_id"]

    async def shared_assistant(self) -> None:
        self.names["assistant_id"] = RESEARCHER

    async def item(self) -> None:
        answer = await self.owner.put("/store/items", json={"namespace": ["n"], "key": "k", "value": {}})
        assert answer.is_success

    async def instance(self) -> None:
        """An instance of an agent that no manifest publishes."""
        self.names["agent_id"] = new_agent_id()
        body = {"agent_id": self.names["agent_id"], "instance_id": "i-1", "slots": 4}
        self.names["registration_id"] = (await self.post("/agents/instances", body))["registration_id"]

    async def configuration(self) -> None:
        self.names["agent_id"] = new_agent_id()
        assert (await self.owner.put(f"/agents/configurations/{self.names['agent_id']}", json={})).is_success

    async def manifest(self) -> None:
        """One that nothing uses."""
        self.names["agent_id"] = new_agent_id()
        assert (await self.root.put(f"/agents/manifests/{self.names['agent_id']}", json={"published": True})).is_success

    async def job(self) -> None:
        """A job that is offered to an instance."""
        await self.instance()
        self.names["job_id"] = str(uuid4())
        await self.database.execute(
            "select from mcp.create_agent_job($1, $2, $3::text::jsonb, $4)",
            *(UUID(HARBOUR), self.names["agent_id"], json.dumps({}), UUID(self.names["job_id"])),
        )
        claimed = await self.post(f"/agents/instances/{self.names['registration_id']}/jobs/claim", {"epoch": 1})
        assert [each["job_id"] for each in claimed["jobs"]] == [self.names["job_id"]]

    async def accepted_job(self) -> None:
        await self.job()
        await self.post(f"/agents/jobs/{self.names['job_id']}/accept", self.job_body())

    def job_body(self, **more: Any) -> dict[str, Any]:
        return {"registration_id": self.names["registration_id"], "epoch": 1, "attempt": 1, **more}

    async def brake(self) -> None:
        await self.configuration()
        await add_brake(self.database, HARBOUR, self.names["agent_id"])

    async def key(self) -> None:
        self.names["prefix"] = (await self.post("/keys", {"organizations": [HARBOUR]}, self.root))["prefix"]

    async def connection(self) -> None:
        row = await self.database.fetchrow(
            """insert into agenthall.mcp_connections (owner_id, organization_id, url, issuer, sealed, expires_at)
               values ($1, $2, 'https://mcp.test/' || gen_random_uuid(), 'https://as.test', $3, now() + interval '1 h')
               returning connection_id""",
            *(OWNER, UUID(HARBOUR), bytes(40)),
        )
        assert row is not None
        self.names["connection_id"] = str(row["connection_id"])

    async def nothing(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Example:
    """`rows` are made before. `body` gets them. `refused`: status and code of the answer to callers who may ask.
    `is_personal`: administrators reach it only if it is theirs."""

    rows: Callable[[Rows], Awaitable[None]] = Rows.nothing
    body: Callable[[Rows], Any] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[int, str] | None = None
    is_personal: bool = False


def _is(value: Any) -> Callable[[Rows], Any]:
    return lambda _rows: value


_EPOCH = _is({"epoch": 1})
_ECHO = _is({"assistant_id": "echo", "input": {"text": 1}})
_JOB = Rows.job_body
_THREAD, _INSTANCE = "/threads/{thread_id}", "/agents/instances/{registration_id}"

EXAMPLES: Mapping[str, Example] = {
    **{f"GET {path}": Example() for path in ("/console", "/console/{path}")},
    "GET /me": Example(),
    "GET /overview": Example(),
    "GET /metrics/history": Example(),
    **{
        f"GET {path}": Example()
        for path in ("/", "/ok", "/livez", "/info", "/openapi.json", "/docs", "/docs/{file}", "/metrics")
    },
    "POST /assistants": Example(body=_is({"graph_id": "echo"})),
    "POST /assistants/search": Example(body=_is({})),
    "POST /assistants/count": Example(body=_is({})),
    "GET /assistants/{assistant_id}": Example(Rows.shared_assistant),
    "PATCH /assistants/{assistant_id}": Example(Rows.assistant, _is({"name": "x"})),
    "DELETE /assistants/{assistant_id}": Example(Rows.assistant),
    "POST /assistants/{assistant_id}/versions": Example(Rows.shared_assistant, _is({})),
    "POST /assistants/{assistant_id}/latest": Example(Rows.assistant, _is({"version": 1})),
    "GET /assistants/{assistant_id}/graph": Example(Rows.shared_assistant),
    "GET /assistants/{assistant_id}/schemas": Example(Rows.shared_assistant),
    "GET /assistants/{assistant_id}/tools": Example(Rows.shared_assistant),
    "GET /assistants/{assistant_id}/subgraphs": Example(Rows.shared_assistant),
    "GET /assistants/{assistant_id}/subgraphs/{namespace}": Example(Rows.shared_assistant),
    "POST /threads": Example(body=_is({})),
    "POST /threads/search": Example(body=_is({})),
    "POST /threads/count": Example(body=_is({})),
    "POST /threads/prune": Example(Rows.thread, lambda rows: {"thread_ids": [rows.names["thread_id"]]}),
    f"POST {_THREAD}/copy": Example(Rows.thread),
    f"GET {_THREAD}": Example(Rows.thread),
    f"PATCH {_THREAD}": Example(Rows.thread, _is({"metadata": {"a": 1}})),
    f"DELETE {_THREAD}": Example(Rows.thread),
    f"GET {_THREAD}/state": Example(Rows.thread),
    f"GET {_THREAD}/state/{{checkpoint_id}}": Example(Rows.used_thread),
    f"POST {_THREAD}/state/checkpoint": Example(Rows.thread, _is({"checkpoint": {}})),
    f"POST {_THREAD}/state": Example(Rows.used_thread, _is({"values": {"text": 2}})),
    f"GET {_THREAD}/history": Example(Rows.thread),
    f"POST {_THREAD}/history": Example(Rows.thread, _is({})),
    f"GET {_THREAD}/storage": Example(Rows.thread),
    f"GET {_THREAD}/stream": Example(Rows.thread),
    f"POST {_THREAD}/runs": Example(Rows.thread, _ECHO),
    f"POST {_THREAD}/runs/stream": Example(Rows.thread, _ECHO),
    f"POST {_THREAD}/runs/wait": Example(Rows.thread, _ECHO),
    "POST /runs": Example(body=_ECHO),
    "POST /runs/stream": Example(body=_ECHO),
    "POST /runs/wait": Example(body=_ECHO),
    "POST /runs/batch": Example(body=_is([{"assistant_id": "echo"}])),
    "GET /runs": Example(),
    f"GET {_THREAD}/runs/{{run_id}}/timeline": Example(Rows.run),
    "POST /runs/cancel": Example(
        Rows.run, lambda rows: {"thread_id": rows.names["thread_id"], "run_ids": [rows.names["run_id"]]}
    ),
    f"GET {_THREAD}/runs": Example(Rows.thread),
    f"GET {_THREAD}/runs/{{run_id}}": Example(Rows.run),
    f"GET {_THREAD}/runs/{{run_id}}/join": Example(Rows.ended_run),
    f"GET {_THREAD}/runs/{{run_id}}/stream": Example(Rows.ended_run),
    "GET /runs/{run_id}/stream": Example(Rows.ended_run),
    f"DELETE {_THREAD}/runs/{{run_id}}": Example(Rows.run),
    f"POST {_THREAD}/runs/{{run_id}}/cancel": Example(Rows.run),
    "PUT /store/items": Example(body=_is({"namespace": ["n"], "key": "k", "value": {}})),
    "GET /store/items": Example(Rows.item, params={"namespace": "n", "key": "k"}),
    "DELETE /store/items": Example(Rows.item, _is({"namespace": ["n"], "key": "k"})),
    "POST /store/items/search": Example(body=_is({"namespace_prefix": []})),
    "POST /store/namespaces": Example(body=_is({})),
    "GET /agents/sync": Example(),
    "POST /agents/sync": Example(body=_is({"agent_id": RESEARCHER, "dry_run": True})),
    "POST /agents/instances": Example(body=lambda _rows: {"agent_id": new_agent_id(), "instance_id": "i-1"}),
    "GET /agents/instances": Example(),
    f"GET {_INSTANCE}": Example(Rows.instance),
    f"GET {_INSTANCE}/history": Example(Rows.instance),
    f"POST {_INSTANCE}/heartbeat": Example(Rows.instance, _EPOCH),
    f"POST {_INSTANCE}/drain": Example(Rows.instance, _EPOCH),
    f"POST {_INSTANCE}/cordon": Example(Rows.instance, _is({})),
    f"POST {_INSTANCE}/uncordon": Example(Rows.instance),
    f"PATCH {_INSTANCE}": Example(Rows.instance, _is({"epoch": 1, "zone": "eu"})),
    f"DELETE {_INSTANCE}": Example(Rows.instance, _EPOCH),
    f"POST {_INSTANCE}/jobs/claim": Example(Rows.instance, _EPOCH),
    "POST /agents/jobs/{job_id}/accept": Example(Rows.job, _JOB),
    "POST /agents/jobs/{job_id}/reject": Example(Rows.job, _JOB),
    "POST /agents/jobs/{job_id}/events": Example(
        Rows.accepted_job, lambda rows: rows.job_body(first_seq=1, events=[{"event": "values", "data": {}}])
    ),
    "POST /agents/jobs/{job_id}/extend": Example(Rows.accepted_job, _JOB),
    "POST /agents/jobs/{job_id}/finish": Example(Rows.accepted_job, lambda rows: rows.job_body(result={})),
    "GET /agents/jobs": Example(),
    "GET /agents/jobs/{job_id}": Example(Rows.job),
    "POST /agents/jobs/{job_id}/cancel": Example(Rows.job, _is({})),
    "GET /agents/manifests": Example(),
    "GET /agents/manifests/{agent_id}": Example(Rows.manifest),
    "PUT /agents/manifests/{agent_id}": Example(Rows.manifest, _is({})),
    "PATCH /agents/manifests/{agent_id}": Example(Rows.manifest, _is({"name": "x"})),
    "DELETE /agents/manifests/{agent_id}": Example(Rows.manifest),
    "GET /agents/configurations": Example(),
    "GET /agents/configurations/{agent_id}": Example(Rows.configuration),
    "PUT /agents/configurations/{agent_id}": Example(Rows.configuration, _is({})),
    "PATCH /agents/configurations/{agent_id}": Example(Rows.configuration, _is({"name": "x"})),
    "DELETE /agents/configurations/{agent_id}": Example(Rows.configuration),
    "GET /agents/brakes": Example(),
    "DELETE /agents/brakes/{agent_id}": Example(Rows.brake),
    "GET /agents/scaling": Example(),
    "GET /agents/watch": Example(),
    "GET /doctor": Example(),
    "GET /connections": Example(),
    "GET /connections/servers": Example(),
    "POST /connections": Example(body=_is({"url": "https://absent.example/mcp"}), refused=(404, "not_found")),
    "GET /connections/callback": Example(params={"state": "none"}, refused=(400, "authorization_invalid")),
    "POST /connections/callback": Example(
        body=_is({"state": "none", "code": "x"}), refused=(400, "authorization_invalid")
    ),
    "DELETE /connections/{connection_id}": Example(Rows.connection, is_personal=True),
    "GET /audit": Example(),
    "GET /keys": Example(),
    "POST /keys": Example(body=_is({"organizations": [HARBOUR]})),
    "POST /keys/{prefix}/rotate": Example(Rows.key, _is({})),
    "DELETE /keys/{prefix}": Example(Rows.key),
    "POST /agents/tickets": Example(),
}
"""One request for each route that is offered."""


def absent(rows: Rows) -> Rows:
    """Names of nothing, in the forms of those of `rows`."""
    names = {name: str(uuid4()) for name in rows.names} | {"agent_id": new_agent_id(), "prefix": "a" * 10}
    return Rows(rows.owner, rows.root, rows.database, names)


def masked(answer: httpx.Response, rows: Rows) -> tuple[int, str]:
    """The status and the body, without the names that the request had and the id of the request."""
    body = json.loads(answer.text)
    body.pop("request_id", None)
    text = json.dumps(body, sort_keys=True)
    for name, value in rows.names.items():
        text = text.replace(value, name)
    return answer.status_code, text


async def ask(caller: Caller, key: str, rows: Rows) -> httpx.Response:
    """Send the example of the route `key`. Only the beginning of a stream that has no end is read."""
    method, _, path = key.partition(" ")
    example = EXAMPLES[key]
    where = path.format(**({"namespace": "none", "path": "agents", "file": "reference.js"} | rows.names))
    body = {} if example.body is None else {"json": example.body(rows)}
    async with caller.client.stream(method, where, params=example.params, **body) as answer:
        if "event-stream" not in answer.headers.get("content-type", ""):
            await answer.aread()
        return answer
