"""Answers of MCP servers that are too large cost their sender's tools and nothing else."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tools_agent.agent import graph
from tools_agent.limits import Limits, set_limits
from tools_agent.tools.mcp_result_size import cut_result

LIMIT = 200_000
TOO_LARGE = f"its answer is larger than {LIMIT} bytes (AGENTHALL_MCP_MAX_BYTES)"


@pytest.fixture(autouse=True)
def limits() -> Limits:
    limits = Limits(answer_bytes=LIMIT, tools=50, result_characters=10_000)
    set_limits(limits)
    return limits


@pytest.mark.parametrize("form", ["json", "events"])
@pytest.mark.parametrize("large", ["initialize", "tools"])
async def test_a_server_that_answers_too_much_is_unavailable_at_once_and_with_that_reason(
    start_mcp, configure, large, form
):
    server = start_mcp("oversized.py", "--large", large, "--bytes", str(2 * LIMIT), "--as", form)
    began = time.monotonic()
    (notice,) = (await graph(configure(("server-1", server.url)))).notices
    assert notice["kind"] == "mcp_server_unavailable" and TOO_LARGE in notice["detail"]
    assert time.monotonic() - began < Limits().connect, "it did not wait for a timeout"


@pytest.mark.parametrize("form", ["json", "events", "lines"])
async def test_a_call_that_is_answered_with_too_much_fails_alone(start_mcp, configure, ask, form):
    server = start_mcp("oversized.py", "--large", "result", "--bytes", str(2 * LIMIT), "--as", form)
    compiled = await graph(configure(("server-1", server.url)))
    for _ in range(2):  # the session lives on
        message = (await ask(compiled, "use the tool large with {}"))[2]
        assert message.status == "error" and TOO_LARGE in message.content and "may have run" in message.content


async def test_a_compressed_answer_is_not_unpacked(start_mcp, configure, ask):
    server = start_mcp("oversized.py", "--large", "result", "--bytes", str(100 * LIMIT), "--as", "gzip")
    message = (await ask(await graph(configure(("server-1", server.url))), "use the tool large with {}"))[2]
    assert message.status == "error" and "compressed (gzip)" in message.content


async def test_a_server_offers_a_limited_number_of_tools(start_mcp, configure):
    server = start_mcp("oversized.py", "--large", "many tools", "--bytes", "5100")
    (notice,) = (await graph(configure(("server-1", server.url)))).notices
    assert "it offers more than 50 tools (AGENTHALL_MCP_MAX_TOOLS)" in notice["detail"]


async def test_the_pages_of_a_list_count_together(start_mcp, configure):
    server = start_mcp("oversized.py", "--large", "pages", "--bytes", str(LIMIT // 3))
    (notice,) = (await graph(configure(("server-1", server.url)))).notices
    assert f"its list of tools is larger than {LIMIT} bytes" in notice["detail"]


async def test_a_long_result_is_cut_and_the_model_is_told(start_mcp, configure, ask):
    server = start_mcp("oversized.py", "--large", "result", "--bytes", "50000")
    message = (await ask(await graph(configure(("server-1", server.url))), "use the tool large with {}"))[2]
    assert message.status == "success"
    assert message.content.startswith("xxx") and len(message.content) < 10_200
    assert message.content.endswith("more are missing (AGENTHALL_MCP_MAX_RESULT).]")


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def test_a_result_within_the_limit_is_not_touched():
    result = {"content": [text("a" * 50)], "structuredContent": {"a": 1}}
    assert cut_result(result, 100) is result


def test_what_is_cut_is_counted_over_all_blocks():
    resource = {"type": "resource", "resource": {"uri": "file:///a", "text": "b" * 400}}
    image = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
    cut = cut_result({"content": [text("a" * 100), image, resource, text("c" * 7)]}, 300)["content"]
    assert [block["type"] for block in cut] == ["text", "image", "text", "text"]
    kept = len(cut[2]["text"])
    assert 0 < kept < 200
    assert f"{400 - kept + 7} more are missing" in cut[3]["text"]


def test_a_large_structured_result_is_left_out_with_a_note():
    cut = cut_result({"content": [text("short")], "structuredContent": {"a": "b" * 500}}, 100)
    assert "structuredContent" not in cut
    assert cut["content"][0]["text"] == "short" and "structured result" in cut["content"][1]["text"]


@pytest.mark.parametrize("content", ["x" * 500, [{"type": "novel", "pages": "x" * 500}], [["x" * 500]]])
def test_content_of_an_unknown_kind_is_cut_too(content):
    cut = cut_result({"content": content}, 100)["content"]
    assert len(cut) == 2 and len(cut[0]["text"]) < 100 and "more are missing" in cut[1]["text"]


def test_many_empty_blocks_are_cut_too():
    assert len(cut_result({"content": [text("")] * 10_000}, 1000)["content"]) < 40
