"""Every method of the official JavaScript SDK, called by a program in Node."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from node import JAVASCRIPT, environment, node
from servers.live_server import LiveServer

NOT_OFFERED = {
    "crons.count": "405 not_offered",
    "crons.create": "405 not_offered",
    "crons.createForThread": "405 not_offered",
    "crons.delete": "405 not_offered",
    "crons.search": "405 not_offered",
    "crons.update": "405 not_offered",
    "threads.patchState": "405 not_offered",
    "threads.stream": "405 not_offered",
}
"""Methods whose operations are refused, so that the SDK does not try again."""


@pytest.fixture(scope="module")
async def report(server: LiveServer) -> Any:
    program = await asyncio.to_thread(node)
    process = await asyncio.create_subprocess_exec(
        program,
        "contract.mjs",
        cwd=JAVASCRIPT,
        env=environment(AGENTHALL_URL=server.url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    return json.loads(out)


async def test_every_method_works_or_is_refused(report: Any) -> None:
    different = {name: said for name, said in report["outcomes"].items() if said != NOT_OFFERED.get(name, "works")}
    assert not different, json.dumps(different, indent=1)


async def test_no_method_of_the_sdk_is_missing(report: Any) -> None:
    assert set(report["methods"]) == set(report["outcomes"])


async def test_a_refusal_is_not_retried(report: Any) -> None:
    """The SDK retries 501 and 503 for 21 s."""
    assert {name: report["seconds"][name] for name in NOT_OFFERED if report["seconds"][name] > 10} == {}
