"""POST /threads/{id}/copy and /threads/count."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError, UnprocessableEntityError
from users.demo_users import HARBOUR

from contract.conftest import UserClientFactory


async def _history(client: LangGraphClient, thread: str) -> list[Any]:
    return [(each["values"], each["next"]) for each in await client.threads.get_history(thread, limit=100)]


async def test_a_copy_has_the_state_and_the_history_and_goes_its_own_way(client: LangGraphClient, thread: str) -> None:
    await client.threads.update(thread, metadata={"tag": "original"})
    await client.runs.wait(thread, "counter", input={"until": 3})
    original, history = await client.threads.get(thread), await _history(client, thread)
    copy: dict[str, Any] = dict(await client.threads.copy(thread))  # type: ignore[call-overload]
    assert copy["thread_id"] != thread
    same = ("metadata", "status", "config", "values", "error", "interrupts")
    assert {name: copy[name] for name in same} == {name: original[name] for name in same}
    assert await _history(client, copy["thread_id"]) == history
    state = await client.threads.get_state(copy["thread_id"])
    assert (state["metadata"] or {})["thread_id"] == copy["thread_id"]
    done = await client.runs.wait(copy["thread_id"], "counter", input={"until": 4})
    assert done == {"until": 4, "count": 4, "seen": [1, 2, 3, 4]}
    assert await _history(client, thread) == history
    await client.threads.delete(thread)
    assert (await client.threads.get_state(copy["thread_id"]))["values"] == done


async def test_the_copy_of_an_open_question_can_be_answered_otherwise(client: LangGraphClient, thread: str) -> None:
    await client.runs.wait(thread, "approval", input={"question": "leave?"})
    copy: Any = await client.threads.copy(thread)
    assert copy["status"] == "interrupted"
    assert copy["interrupts"]
    ends = [
        await client.runs.wait(each, "approval", command={"resume": answer})
        for each, answer in ((thread, "yes"), (copy["thread_id"], "no"))
    ]
    assert ends[0] != ends[1]


async def test_a_copy_of_a_busy_thread_is_idle_and_ends_where_the_run_was(client: LangGraphClient, thread: str) -> None:
    run = await client.runs.create(thread, "counter", input={"until": 50, "delay": 0.2})
    copy: Any = await client.threads.copy(thread)
    assert copy["status"] == "idle"
    assert await client.runs.list(copy["thread_id"]) == []
    await client.runs.cancel(thread, run["run_id"], wait=True)


async def test_a_thread_that_never_ran_can_be_copied_and_one_that_is_missing_cannot(
    client: LangGraphClient, thread: str
) -> None:
    copy: Any = await client.threads.copy(thread)
    assert (copy["status"], copy["values"]) == ("idle", None)
    with pytest.raises(NotFoundError, match="not found"):
        await client.threads.copy(str(uuid4()))


async def test_a_copy_is_for_the_owner_only(person: UserClientFactory) -> None:
    mine, other = person("copy-anna", HARBOUR), person("copy-bert", HARBOUR)
    thread = await mine.thread()
    with pytest.raises(NotFoundError):
        await other.sdk.threads.copy(thread)


async def test_threads_are_counted_as_they_are_searched(person: UserClientFactory) -> None:
    client = person(f"count-{uuid4()}", HARBOUR).sdk
    assert await client.threads.count() == 0
    for number in range(3):
        created = await client.threads.create(metadata={"tag": "x" if number else "y"})
        if number == 2:
            await client.runs.wait(created["thread_id"], "counter", input={"until": 1})
    assert await client.threads.count() == 3
    assert await client.threads.count(metadata={"tag": "x"}) == 2
    assert await client.threads.count(values={"count": 1}) == 1
    assert await client.threads.count(status="busy") == 0
    assert await client.threads.count(metadata={"tag": "x"}, status="idle") == 2
    with pytest.raises(UnprocessableEntityError, match="status"):
        await client.threads.count(status="lazy")  # type: ignore[arg-type]
