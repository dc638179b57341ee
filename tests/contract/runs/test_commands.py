"""Commands of runs: updates as pairs, strict resumes; and fields that make sense in one kind of run only."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

UNKNOWN = "0" * 32
"""The form of an interrupt's id."""


@pytest.mark.parametrize("update", [[["note", "b"], ["passed", ["extra"]]], {"note": "b", "passed": ["extra"]}])
async def test_an_update_is_an_object_or_a_list_of_pairs(client: LangGraphClient, thread: str, update: Any) -> None:
    await client.runs.wait(thread, "road", input={"note": "a"})
    values = await client.runs.wait(thread, "road", command={"goto": "siding", "update": update})
    assert values == {"passed": ["first", "second", "extra", "siding"], "note": "b"}


async def test_a_pair_may_come_twice(client: LangGraphClient, thread: str) -> None:
    await client.runs.wait(thread, "road", input={"note": "a"})
    update: Any = [["passed", ["x"]], ["passed", ["y"]]]
    values = await client.runs.wait(thread, "road", command={"goto": "siding", "update": update})
    assert values["passed"] == ["first", "second", "x", "y", "siding"]  # type: ignore[call-overload]


async def test_a_strict_resume_of_an_unknown_interrupt_fails_and_leaves_the_thread(
    client: LangGraphClient, thread: str
) -> None:
    await client.runs.wait(thread, "approval", input={"question": "deploy?"})
    before: Any = await client.threads.get(thread)
    state = await client.threads.get_state(thread)
    answer: Any = await client.runs.wait(
        thread, "approval", command={"resume": {UNKNOWN: "yes"}}, strict_resume=True, raise_error=False
    )
    assert answer["__error__"]["error"] == "UnknownInterruptError"
    after: Any = await client.threads.get(thread)
    kept = ("status", "values", "interrupts")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert await client.threads.get_state(thread) == state
    assert [run["status"] for run in await client.runs.list(thread)] == ["error", "success"]


async def test_a_strict_resume_of_the_open_interrupt_works(client: LangGraphClient, thread: str) -> None:
    await client.runs.wait(thread, "approval", input={"question": "deploy?"})
    [[interrupt]] = (await client.threads.get(thread))["interrupts"].values()
    answer: Any = {interrupt["id"]: "yes"}
    values = await client.runs.wait(thread, "approval", command={"resume": answer}, strict_resume=True)
    assert values == {"question": "deploy?", "answer": "yes"}


async def test_a_resume_of_an_unknown_interrupt_is_ignored_otherwise(client: LangGraphClient, thread: str) -> None:
    await client.runs.wait(thread, "approval", input={"question": "deploy?"})
    answer: Any = await client.runs.wait(thread, "approval", command={"resume": {UNKNOWN: "yes"}})
    assert "__interrupt__" in answer


async def test_the_server_says_that_strict_resumes_work(http: httpx.AsyncClient) -> None:
    assert (await http.get("/info")).json()["flags"]["strict_resume"] is True


async def test_a_run_of_a_thread_does_not_delete_it(http: httpx.AsyncClient, thread: str) -> None:
    path = f"/threads/{thread}/runs"
    refused = await http.post(path, json={"assistant_id": "echo", "on_completion": "delete"})
    assert (refused.status_code, refused.json()["field"]) == (422, "on_completion")
    kept = await http.post(f"{path}/wait", json={"assistant_id": "echo", "input": {"text": 1}, "on_completion": "keep"})
    assert kept.json() == {"text": 1}
