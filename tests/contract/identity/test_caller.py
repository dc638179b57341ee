"""GET /me: the caller as the server sees it, and what it may do."""

from __future__ import annotations

import httpx
import pytest
from servers.live_server import LiveServer
from users.demo_users import HARBOUR, MEADOW, bearer

from contract.conftest import UserClientFactory
from robyn_server.core.access.permissions import PERMISSIONS, Operation, Role
from robyn_server.core.access.scopes import Scope

PRIVILEGED = {each.value for each in Operation if PERMISSIONS[each].role is Role.ADMIN}


async def test_without_users_the_caller_is_local_and_may_do_everything(http: httpx.AsyncClient) -> None:
    me = (await http.get("/me")).json()
    assert (me["identity"], me["auth_mode"], me["is_admin"]) == ("local", "none", True)
    assert (me["organizations"], me["organization_id"]) == (None, None)
    assert PRIVILEGED - {"data.erase"} <= set(me["operations"])
    assert {"runs.search", "agent_sync.run", "instances.search"} <= set(me["operations"])


async def test_a_user_may_do_what_members_may(person: UserClientFactory) -> None:
    me = (await person("anna", HARBOUR).http.get("/me")).json()
    assert (me["identity"], me["kind"], me["auth_mode"], me["is_admin"]) == ("anna", "user", "jwt", False)
    assert (me["organizations"], me["organization_id"]) == ([HARBOUR], HARBOUR)
    assert not PRIVILEGED & set(me["operations"])
    assert {"runs.create", "instances.register", "identity.read"} <= set(me["operations"])
    assert me["expires_at"] is not None


async def test_without_an_organization_the_registry_is_closed(person: UserClientFactory) -> None:
    me = (await person("hermit").http.get("/me")).json()
    assert (me["organizations"], me["organization_id"]) == ([], None)
    assert not {each.value for each in Operation if PERMISSIONS[each].in_organization} & set(me["operations"])


async def test_of_several_organizations_the_named_one_acts(person: UserClientFactory) -> None:
    several = person("both", HARBOUR, MEADOW).http
    assert (await several.get("/me")).json()["organization_id"] is None
    named = await several.get("/me", headers={"x-organization-id": MEADOW})
    assert named.json()["organization_id"] == MEADOW


async def test_a_key_with_scopes_may_do_what_these_name(jwt_server: LiveServer) -> None:
    async with jwt_server.http(**bearer("root", permissions=("admin",))) as root:
        made = (await root.post("/keys", json={"organizations": [HARBOUR], "scopes": [Scope.THREADS_READ]})).json()
    async with jwt_server.http(**{"x-api-key": made["key"]}) as keyed:
        me = (await keyed.get("/me")).json()
    assert me["kind"] == "service"
    assert set(me["operations"]) == {"identity.read", "threads.search", "threads.read", "sockets.open"}


@pytest.mark.parametrize("path", ["/me", "/overview", "/metrics/history", "/runs"])
async def test_a_stranger_is_told_nothing(jwt_server: LiveServer, path: str) -> None:
    async with jwt_server.http() as stranger:
        assert (await stranger.get(path)).status_code == 401
