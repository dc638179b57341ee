"""POST /runs/batch: several runs without a thread, all or none."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import UnprocessableEntityError
from network.sse_client import problem_detail
from users.demo_users import HARBOUR

from contract.conftest import UserClientFactory


async def test_each_run_of_a_batch_runs(client: LangGraphClient) -> None:
    runs: Any = await client.runs.create_batch(
        [
            {"assistant_id": "counter", "input": {"until": number}, "on_completion": "keep"}  # type: ignore[typeddict-unknown-key]
            for number in (1, 2, 3)
        ]
    )
    assert [run["status"] for run in runs] == ["pending"] * 3
    assert len({run["thread_id"] for run in runs}) == 3
    results: list[Any] = [await client.runs.join(run["thread_id"], run["run_id"]) for run in runs]
    assert [result["count"] for result in results] == [1, 2, 3]


async def test_one_that_is_wrong_starts_none(person: UserClientFactory) -> None:
    user = person(f"batch-{uuid4()}", HARBOUR).sdk
    given: Any = [{"assistant_id": "counter", "input": {}, "on_completion": "keep"}, {"assistant_id": "nope"}]
    with pytest.raises(UnprocessableEntityError, match="Invalid assistant: 'nope'"):
        await user.runs.create_batch(given)
    assert await user.threads.count() == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ([], "at least 1"),
        ({}, "list"),
        ([{}], "assistant_id"),
        ([{"assistant_id": "counter", "webhook": "https://a.example"}], "webhook"),
        ([{"assistant_id": "counter"}] * 101, "at most 100"),
    ],
)
async def test_a_wrong_batch_is_422_with_its_reason(http: httpx.AsyncClient, body: Any, reason: str) -> None:
    answer = await http.post("/runs/batch", json=body)
    assert (answer.status_code, reason in problem_detail(answer)) == (422, True), answer.text
