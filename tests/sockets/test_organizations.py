"""The tenant that a message names: one of the credentials' own, whatever the method does with it, and then it
counts."""

from __future__ import annotations

from typing import Any

import pytest
from network.websocket_client import expect_refused
from servers.local_socket_server import ALPHA, BETA, LocalSocketServer

from robyn_server.sockets.methods.table import METHODS

JOB = {"job_id": "00000000-0000-0000-0000-00000000000c", "attempt": 1}
NEEDED: dict[str, dict[str, Any]] = {
    "agent.register": {"agent_id": "ide"},
    "agent.update": {"zone": "eu"},
    "agent.unwatch": {"watch_id": "watch-1"},
    "job.accept": JOB,
    "job.reject": JOB,
    "job.events": {**JOB, "first_seq": 1, "events": [{"event": "token", "data": "a"}]},
    "job.extend": {"jobs": [JOB]},
    "job.finish": {**JOB, "result": None},
}
OF_REGISTRATION = ["agent.heartbeat", "agent.update", "agent.drain", "agent.deregister", "agent.status"]


@pytest.mark.parametrize("method", METHODS)
async def test_no_method_takes_a_foreign_tenant(server: LocalSocketServer, method: str) -> None:
    async with server.dial() as socket:
        made = await socket.ask("agent.register", agent_id="ide", instance_id="one")
        await socket.ask("agent.watch")
        error = await expect_refused(socket.ask(method, **NEEDED.get(method, {}), tenant_id=str(BETA)))
        assert (error.code, error.reason, error.field) == (4001, "forbidden", "tenant_id")
        assert await socket.close_code() == 4403
    assert [str(each) for each in server.registry.instances] == [made["registration_id"]]


@pytest.mark.parametrize("method", OF_REGISTRATION)
@pytest.mark.parametrize("is_named", [True, False])
async def test_a_registration_is_not_found_in_another_tenant(
    server: LocalSocketServer, method: str, is_named: bool
) -> None:
    async with server.dial(key="both-key") as socket:
        made = await socket.ask("agent.register", agent_id="ide", tenant_id=str(ALPHA))
        which = {"registration_id": made["registration_id"]} if is_named else {}
        asked: dict[str, Any] = {**NEEDED.get(method, {}), **which}
        if method == "agent.status" and not is_named:
            assert (await socket.ask(method, tenant_id=str(BETA)))["registrations"] == []
        else:
            error = await expect_refused(socket.ask(method, **asked, tenant_id=str(BETA)))
            assert (error.code, error.reason, error.field) == (4005, "not_found", "registration_id")
        await socket.ask(method, **asked, tenant_id=str(ALPHA))


async def test_the_only_registration_of_the_tenant_that_is_named_is_meant(server: LocalSocketServer) -> None:
    async with server.dial(key="both-key") as socket:
        made = {
            tenant: await socket.ask("agent.register", agent_id="ide", tenant_id=str(tenant))
            for tenant in (ALPHA, BETA)
        }
        assert (await expect_refused(socket.ask("agent.heartbeat"))).reason == "registration_required"
        for tenant, each in made.items():
            beat = await socket.ask("agent.heartbeat", tenant_id=str(tenant))
            assert beat["registration_id"] == each["registration_id"]


async def test_a_watch_is_not_found_in_another_tenant(server: LocalSocketServer) -> None:
    async with server.dial(key="both-key") as socket:
        made = await socket.ask("agent.watch", tenant_id=str(ALPHA))
        assert (await socket.ask("agent.status", tenant_id=str(BETA)))["watches"] == []
        error = await expect_refused(socket.ask("agent.unwatch", **_watch(made), tenant_id=str(BETA)))
        assert (error.reason, error.field) == ("not_found", "watch_id")
        assert await socket.ask("agent.unwatch", **_watch(made), tenant_id=str(ALPHA)) == _watch(made)


def _watch(made: dict[str, Any]) -> dict[str, str]:
    return {"watch_id": made["watch_id"]}
