"""GET /agents/scaling over HTTP."""

from __future__ import annotations

import httpx

from contract.registry.registry_api import new_agent_id, problem, register

SCALING = "/agents/scaling"


async def test_an_agent_without_work_has_signals_too(ada: httpx.AsyncClient) -> None:
    agent_id = new_agent_id()
    await register(ada, agent_id)
    answer = await ada.get(SCALING, params={"agent_id": agent_id})
    assert answer.json() == {
        "agents": [
            {
                "agent_id": agent_id,
                "queued": 0,
                "oldest_queued_seconds": 0.0,
                "offered": 0,
                "in_flight": 0,
                "instances": 0,
                "slots": 0,
                "utilisation": 0.0,
                "ejected": 0,
                "desired_instances": 0,
            }
        ],
        "next_cursor": None,
    }


async def test_agents_are_paged_in_their_order(ada: httpx.AsyncClient) -> None:
    agent_ids = sorted(new_agent_id() for _ in range(3))
    for agent_id in agent_ids:
        await register(ada, agent_id)
    seen, cursor = list[str](), ""
    while cursor is not None:
        answer = (await ada.get(SCALING, params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        seen += [each["agent_id"] for each in answer["agents"]]
        cursor = answer["next_cursor"]
    assert seen == sorted(seen) and set(agent_ids) <= set(seen)


async def test_another_organization_sees_nothing(ada: httpx.AsyncClient, mia: httpx.AsyncClient) -> None:
    agent_id = new_agent_id()
    await register(ada, agent_id)
    assert (await mia.get(SCALING, params={"agent_id": agent_id})).json()["agents"] == []


async def test_a_wrong_query_is_named(ada: httpx.AsyncClient) -> None:
    assert problem(await ada.get(SCALING, params={"agent": "x"})) == (422, "invalid", "agent")
    assert problem(await ada.get(SCALING, params={"limit": 0})) == (422, "invalid", "limit")
