"""A bot answers, and its socket, a process of the server, PostgreSQL or the bot itself dies: the client has the answer.

A killed bot streams its answer again, and so does a worker that takes over a run whose worker died. Each such attempt
has a message of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from job_conversation import Conversation, Deployment, job_deployment


@pytest.fixture(scope="module")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    async with job_deployment(tmp_path_factory.mktemp("jobs")) as running:
        yield running


@pytest.fixture(autouse=True)
async def check_invariants(deployment: Deployment) -> AsyncIterator[None]:
    """A conversation checks its own."""
    yield
    await deployment.stop_bots()


async def _begin(deployment: Deployment, agent_id: str) -> Conversation:
    """A conversation with a bot that has begun to answer."""
    await deployment.start_bot(agent_id, "one")
    await deployment.allow_retries(agent_id)
    thread = await deployment.server.sdk().threads.create()
    conversation = Conversation(deployment, agent_id, thread["thread_id"])
    await conversation.goes_on()
    return conversation


async def _restart_bot(deployment: Deployment, agent_id: str) -> None:
    await deployment.kill_bot("one")
    await deployment.start_bot(agent_id, "one")


async def _replace_bot(deployment: Deployment, agent_id: str) -> None:
    await deployment.start_bot(agent_id, "two")
    await deployment.kill_bot("one")


async def _cut_socket(deployment: Deployment, _agent_id: str) -> None:
    await deployment.cut_sockets()


async def _kill_sockets(deployment: Deployment, _agent_id: str) -> None:
    await deployment.kill_sockets()


async def _kill_worker(deployment: Deployment, _agent_id: str) -> None:
    await deployment.kill_worker()


async def _kill_web(deployment: Deployment, _agent_id: str) -> None:
    await deployment.kill_web()


async def _kill_postgres(deployment: Deployment, _agent_id: str) -> None:
    await deployment.kill_postgres()


FAULTS: dict[str, Callable[[Deployment, str], Awaitable[None]]] = {
    "the bot is killed and another takes over": _replace_bot,
    "the bot is killed and restarts": _restart_bot,
    "the socket of the bot is cut": _cut_socket,
    "the sockets process is killed": _kill_sockets,
    "the worker is killed": _kill_worker,
    "the web process is killed": _kill_web,
    "PostgreSQL is killed": _kill_postgres,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_client_has_the_whole_answer_once_and_in_order_although(deployment: Deployment, fault: str) -> None:
    agent_id = fault.lower().replace(" ", "-")
    conversation = await _begin(deployment, agent_id)
    await FAULTS[fault](deployment, agent_id)
    await conversation.goes_on()
    await conversation.check()


async def test_the_client_has_the_whole_answer_although_all_of_them_fail_in_turn(deployment: Deployment) -> None:
    conversation = await _begin(deployment, "unlucky-bot")
    for fault, cause in FAULTS.items():
        if cause is _replace_bot:  # it restarts, too
            continue
        conversation.note(fault)
        await cause(deployment, "unlucky-bot")
        await conversation.goes_on()
    await conversation.check()
    print(conversation.transcript())  # noqa: T201  shown by pytest -s
