"""Two tenants with something of every kind, and requests in which their ids are swapped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

import httpx

from robyn_server.web.http.routing import Route

ABSENT = str(UUID(int=7))
ORGANIZATION = "x-organization-id"


@dataclass(slots=True)
class Tenant:
    """`mark` is in the rows of the tenant and in no request of another. `note`: what others may know about them.
    `ids`: rows by the parameter that names them. `unnamed`: ids that nobody else is told."""

    http: httpx.AsyncClient
    organization: str
    mark: str
    note: str
    ids: dict[str, str] = field(default_factory=dict)
    unnamed: list[str] = field(default_factory=list)

    async def settle(self, root: httpx.AsyncClient) -> None:
        """Create two conversations, an item, a configuration, an instance and a key."""
        http, known = self.http, self._known
        self.unnamed = [*(await self._converse()).values()]
        item = {"namespace": [self.note], "key": self.note, "value": known}
        (await http.put("/store/items", json=item)).raise_for_status()
        agent = f"agent-{self.note}"
        await _made(http.put(f"/agents/configurations/{agent}", json={"name": self.mark, "system_prompt": self.mark}))
        instance = {"agent_id": agent, "instance_id": self.note, "name": self.mark, "runtime_config": known}
        registered = await _made(http.post("/agents/instances", json=instance))
        key = await _made(root.post("/keys", json={"name": self.mark, "organizations": [self.organization]}))
        self.ids = {
            **await self._converse(),
            "registration_id": registered["registration_id"],
            "agent_id": agent,
            "prefix": key["prefix"],
            "job_id": ABSENT,
        }

    @property
    def _known(self) -> dict[str, str]:
        return {"note": self.note, "hidden": self.mark}

    async def _converse(self) -> dict[str, str]:
        """Create an assistant, and a thread with a run and a state."""
        http, known = self.http, self._known
        described = {"name": self.mark, "description": self.mark, "metadata": known}
        assistant = await _made(http.post("/assistants", json={"graph_id": "echo", "context": known, **described}))
        thread = await _made(http.post("/threads", json={"metadata": known}))
        body = {"assistant_id": assistant["assistant_id"], "input": {"text": known}, "metadata": known}
        await _made(http.post(f"/threads/{thread['thread_id']}/runs/wait", json=body))
        (run,) = await _made(http.get(f"/threads/{thread['thread_id']}/runs"))
        state = await _made(http.get(f"/threads/{thread['thread_id']}/state"))
        return {
            "assistant_id": assistant["assistant_id"],
            "thread_id": thread["thread_id"],
            "run_id": run["run_id"],
            "checkpoint_id": state["checkpoint"]["checkpoint_id"],
        }

    def paths(self) -> list[str]:
        """Where the tenant sees what it has."""
        ids = self.ids
        return [
            f"/assistants/{ids['assistant_id']}",
            f"/threads/{ids['thread_id']}",
            f"/threads/{ids['thread_id']}/state",
            f"/threads/{ids['thread_id']}/runs/{ids['run_id']}",
            f"/store/items?namespace={self.note}&key={self.note}",
            f"/agents/configurations/{ids['agent_id']}",
            f"/agents/instances/{ids['registration_id']}",
        ]

    async def seen(self) -> dict[str, Any]:
        """Everything of the tenant, as it sees it, but its instance, which ends without heartbeats."""
        lasting = [path for path in self.paths() if "/instances/" not in path]
        answers = {path: await self.http.get(path) for path in lasting}
        return {path: (answer.status_code, answer.text) for path, answer in answers.items()}


async def _made(answer: Any) -> Any:
    return (await answer).raise_for_status().json()


@dataclass(frozen=True, slots=True)
class SwappedRequest:
    route: Route
    method: str
    path: str
    body: Any
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        return f"{self.path} {json.dumps(self.body)}"


def swapped_requests(
    routes: Sequence[Route], mine: Tenant, theirs: Tenant, plausible: Mapping[str, Any], chance: Random
) -> Iterator[SwappedRequest]:
    """Requests of `mine` with ids of `theirs`, without end."""
    while True:
        yield _Swapped(chance.choice(routes), mine, theirs, plausible, chance).make()


class _Swapped:
    def __init__(
        self, route: Route, mine: Tenant, theirs: Tenant, plausible: Mapping[str, Any], chance: Random
    ) -> None:
        self._route, self._mine, self._theirs = route, mine, theirs
        self._plausible, self._chance = plausible, chance

    def make(self) -> SwappedRequest:
        names = self._route.parameters
        values = [self._id(name) for name in names]
        if names and self._theirs.ids.get(names[-1]) not in values:
            at = self._chance.randrange(len(names))
            values[at] = self._theirs.ids.get(names[at], ABSENT)
        path = self._route.path.format_map(dict(zip(names, values, strict=True)))
        query = "&".join(f"{name}={value}" for name, value in self._query())
        others = {ORGANIZATION: self._theirs.organization} if self._chance.random() < 0.1 else {}
        return SwappedRequest(
            self._route, self._route.method, f"{path}?{query}" if query else path, self._body(), others
        )

    def _id(self, name: str) -> str:
        """A foreign id, or sometimes an own one: a foreign run on an own thread. No own row is deleted."""
        if self._route.method == "DELETE" or self._chance.random() < 0.6:
            return self._theirs.ids.get(name, ABSENT)
        return self._chance.choice([self._mine.ids.get(name, ABSENT), ABSENT])

    def _query(self) -> list[tuple[str, str]]:
        note, ids = self._theirs.note, self._theirs.ids
        known = {each.name for each in self._route.query or ()}
        given = {
            "namespace": note,
            "key": note,
            "agent_id": ids["agent_id"],
            "thread_id": ids["thread_id"],
            "run_id": ids["run_id"],
            "cursor": self._chance.choice([ids["registration_id"], ids["agent_id"], ABSENT]),
            "organization_id": self._theirs.organization,
            "before": ids["checkpoint_id"],
            "capability": note,
            "limit": "100",
        }
        if self._route.query is None:  # those of LangGraph's API take any
            known = {"namespace", "key", "before"} if self._route.method == "GET" else set()
        return [(name, value) for name, value in given.items() if name in known and self._chance.random() < 0.5]

    def _body(self) -> Any:
        if self._route.body is None:
            return None
        fields = self._route.body.model_fields
        if "root" in fields:
            return [self._run()]
        given = {**self._plausible, **self._named()}
        needed = {name for name, each in fields.items() if each.is_required()}
        chosen = needed | {name for name in fields if name in given and self._chance.random() < 0.5}
        return {name: given.get(name, self._theirs.note) for name in sorted(chosen)}

    def _run(self) -> dict[str, Any]:
        return {"assistant_id": self._theirs.ids["assistant_id"], "input": {"text": 1}}

    def _named(self) -> dict[str, Any]:
        """Members that name rows of the other tenant."""
        ids, note = self._theirs.ids, self._theirs.note
        checkpoint = {"checkpoint_id": ids["checkpoint_id"], "checkpoint_ns": "", "thread_id": ids["thread_id"]}
        return {
            "assistant_id": ids["assistant_id"],
            "thread_id": ids["thread_id"],
            "ids": [ids["thread_id"]],
            "thread_ids": [ids["thread_id"]],
            "run_ids": [ids["run_id"]],
            "checkpoint": checkpoint,
            "checkpoint_id": ids["checkpoint_id"],
            "before": checkpoint,
            "registration_id": ids["registration_id"],
            "agent_id": ids["agent_id"],
            "instance_id": note,
            "organization_id": self._theirs.organization,
            "organizations": [self._theirs.organization],
            "namespace": [note],
            "namespace_prefix": [note],
            "prefix": [note],
            "key": note,
            "metadata": self._chance.choice([{"note": note}, {}]),
            "values": self._chance.choice([{"text": note}, {}]),
            "filter": {"note": note},
        }
