"""The table of permissions on a running server, cell by cell: every operation in every role and with every scope."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import asyncpg
import httpx
import pytest
from servers.live_server import LiveServer
from users.demo_users import HARBOUR, MEADOW, bearer

from robyn_server.core.access.permissions import PERMISSIONS, Operation, Role
from robyn_server.core.access.scopes import Scope
from robyn_server.web.http.problems import PROBLEM_JSON
from robyn_server.web.routes import all_routes
from robyn_server.web.routes.server.system import system_routes

from .permission_cells import EXAMPLES, OWNER, Caller, Rows, absent, ask, masked

ROUTES = {
    f"{route.method} {route.path}": route
    for route in [*all_routes(), *system_routes(None)]  # type: ignore[arg-type]  # no route is called
    if not route.not_built
}


@pytest.fixture(scope="module")
async def clients(jwt_server: LiveServer) -> AsyncIterator[Callable[..., httpx.AsyncClient]]:
    async with AsyncExitStack() as closing:

        def make(**headers: str) -> httpx.AsyncClient:
            client = jwt_server.http(**headers)
            closing.push_async_callback(client.aclose)
            return client

        yield make


@pytest.fixture(scope="module")
async def root(clients: Callable[..., httpx.AsyncClient]) -> httpx.AsyncClient:
    return clients(**bearer("root", permissions=("admin",)), **{"x-organization-id": HARBOUR})


@pytest.fixture(scope="module")
async def rows(
    clients: Callable[..., httpx.AsyncClient], root: httpx.AsyncClient, catalogue: asyncpg.Connection
) -> Rows:
    """Rows of one owner, made once: those of a refused request."""
    made = Rows(clients(**bearer(OWNER, HARBOUR)), root, catalogue)
    for make in (Rows.accepted_job, Rows.used_thread, Rows.run, Rows.assistant, Rows.item, Rows.key, Rows.connection):
        await make(made)
    return made


_HIDDEN = {404, 409, 410}
"""Statuses for rows that do not exist. An instance whose registration or job does not exist is told to begin again."""


async def _check(caller: Caller, shared: Rows) -> None:
    """Ask for every route, and compare the answers with the table.

    Rows that the caller may not see are answered as rows that do not exist.
    """
    wrong = []
    for key, route in ROUTES.items():
        status, code = caller.expected(route.operation)
        refused = EXAMPLES[key].refused if status == 200 else None
        if EXAMPLES[key].is_personal and caller.role is Role.ADMIN and caller.scopes is None:  # a key acts as the owner
            status, code = 404, None
        names = shared
        if status == 200:
            names = Rows(shared.owner, shared.root, shared.database)
            await EXAMPLES[key].rows(names)
        answer = await ask(caller, key, names)
        # without a built console, a page says that with 503
        is_refusal = answer.status_code >= 400 and answer.headers["content-type"].startswith(PROBLEM_JSON)
        refusal = answer.json() if is_refusal else {}
        got = (answer.status_code, refusal.get("code")) if refusal else (200, None)
        if status == 404:
            nothing = absent(shared)
            if masked(answer, names) != masked(await ask(caller, key, nothing), nothing) or got[0] not in _HIDDEN:
                wrong.append((key, str(route.operation), "hidden", got, refusal.get("detail")))
        elif got != ((status, code) if refused is None else refused):
            wrong.append((key, str(route.operation), (status, code), got, refusal.get("detail")))
    assert wrong == []


def test_each_route_has_a_cell() -> None:
    assert set(EXAMPLES) == set(ROUTES)


@pytest.mark.parametrize(
    ("name", "role", "headers"),
    [
        ("without credentials", Role.ANYONE, {}),
        ("of another organization", Role.CALLER, bearer("foreigner-of-cells", MEADOW)),
        ("of no organization", Role.CALLER, bearer("outsider-of-cells")),
        ("a colleague", Role.MEMBER, bearer("colleague-of-cells", HARBOUR)),
        ("the owner", Role.OWNER, bearer(OWNER, HARBOUR)),
        ("an administrator", Role.ADMIN, {**bearer("root", permissions=("admin",)), "x-organization-id": HARBOUR}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_roles(
    clients: Callable[..., httpx.AsyncClient], rows: Rows, name: str, role: Role, headers: dict[str, str]
) -> None:
    await _check(Caller(name, role, clients(**headers), has_organization=name != "of no organization"), rows)
    await _ensure_untouched(rows)


@pytest.mark.parametrize("scope", [None, *Scope])
async def test_scopes_of_keys(
    clients: Callable[..., httpx.AsyncClient], rows: Rows, root: httpx.AsyncClient, scope: Scope | None
) -> None:
    """A key that acts as the owner, with one scope, or without any."""
    made = await root.post(
        "/keys", json={"organizations": [HARBOUR], "identity": OWNER, "scopes": None if scope is None else [scope]}
    )
    role = Role.ADMIN if scope is Scope.ADMIN else Role.OWNER
    client = clients(**{"x-api-key": made.json()["key"], "x-organization-id": HARBOUR})
    await _check(Caller(str(scope), role, client, None if scope is None else frozenset({scope})), rows)
    await _ensure_untouched(rows)


async def test_without_credentials_everybody_is_an_administrator(server: LiveServer, http: httpx.AsyncClient) -> None:
    """With AUTH_MODE=none."""
    for operation in (Operation.KEYS_READ, Operation.METRICS_READ, Operation.AGENT_SYNC_READ):
        key = next(key for key, route in ROUTES.items() if route.operation is operation)
        assert (await http.get(key.partition(" ")[2])).status_code in (200, 405)
    assert PERMISSIONS[Operation.KEYS_READ].role is Role.ADMIN


async def test_a_shared_assistant_is_forbidden_to_those_who_may_read_it(
    clients: Callable[..., httpx.AsyncClient],
) -> None:
    colleague = clients(**bearer("colleague-of-cells", HARBOUR))
    found = (await colleague.post("/assistants/search", json={"metadata": {"created_by": "system"}})).json()
    shared = found[0]["assistant_id"]
    assert (await colleague.patch(f"/assistants/{shared}", json={"name": "x"})).status_code == 403
    assert (await colleague.delete(f"/assistants/{shared}")).status_code == 403


async def test_only_administrators_name_servers_of_tools(
    clients: Callable[..., httpx.AsyncClient], root: httpx.AsyncClient
) -> None:
    body = {"graph_id": "agent", "context": {"mcp_config": {"servers": [{"url": "http://127.0.0.1:9/mcp"}]}}}
    colleague = clients(**bearer("colleague-of-cells", HARBOUR))
    assert (await colleague.post("/assistants", json=body)).status_code == 403
    assert (await root.post("/assistants", json=body)).status_code == 200


async def _ensure_untouched(rows: Rows) -> None:
    """Check that the rows that refused requests named are still there."""
    names = rows.names
    for path in (
        f"/threads/{names['thread_id']}/runs/{names['run_id']}",
        f"/assistants/{names['assistant_id']}",
        f"/agents/instances/{names['registration_id']}",
        f"/agents/configurations/{names['agent_id']}",
    ):
        assert (await rows.owner.get(path)).status_code == 200, path
    job = (await rows.owner.get(f"/agents/jobs/{names['job_id']}")).json()
    assert job["state"] in {"queued", "offered", "running", "expired"}, job  # expired: by time alone
    run = (await rows.owner.get(f"/threads/{names['thread_id']}/runs/{names['run_id']}")).json()
    assert run["status"] == "pending"


@pytest.mark.parametrize("if_exists", ["raise", "do_nothing"])
async def test_an_id_that_is_taken_does_not_say_by_whom(
    clients: Callable[..., httpx.AsyncClient], rows: Rows, if_exists: str
) -> None:
    """A colleague and a member of another organization get one answer. With `raise`, so does the owner."""
    requests = (
        ("/threads", {"thread_id": rows.names["thread_id"]}),
        ("/assistants", {"assistant_id": rows.names["assistant_id"], "graph_id": "echo"}),
    )
    callers = [bearer("colleague-of-cells", HARBOUR), bearer("foreigner-of-cells", MEADOW)]
    if if_exists == "raise":
        callers.append(bearer(OWNER, HARBOUR))
    for path, body in requests:
        answers = [await clients(**each).post(path, json={**body, "if_exists": if_exists}) for each in callers]
        assert {masked(each, rows) for each in answers} == {masked(answers[0], rows)}
        assert answers[0].status_code == 409
