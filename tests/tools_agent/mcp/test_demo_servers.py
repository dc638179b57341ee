"""The demo's MCP servers, as processes."""

from __future__ import annotations

import asyncio

from doc_pages import ROOT

from tools_agent.agent import graph

DEMO = ROOT / "demo"


async def test_the_demo_servers_serve_an_agent_and_log_each_call(start_mcp, configure, ask):
    legal, documents = start_mcp(DEMO / "legal_mcp.py"), start_mcp(DEMO / "documents_mcp.py")
    compiled = await graph(configure(("server-1", legal.url), ("server-2", documents.url)))
    assert "StGB § 242" in (await ask(compiled, "What does the law say about theft?"))[-1].content
    assert "BGB § 433" in (await ask(compiled, "use the tool cite_law code BGB section 433"))[-1].content
    assert "940 euros" in (await ask(compiled, "use the tool read_document with id lease-2024"))[-1].content
    assert "> 3" in (await ask(compiled, "use the tool word_count 'one two three'"))[-1].content
    assert "lease-2024" in (await ask(compiled, "search docs: rent"))[-1].content
    failed = (await ask(compiled, "use the tool cite_law code BGB section 9"))[2]
    assert failed.status == "error"
    assert "no section 9 of BGB" in failed.content
    assert 'tool search_law {"query": "What does the law say about theft"}' in legal.lines
    assert 'tool read_document {"id": "lease-2024"}' in documents.lines


async def test_a_demo_server_stops_at_once_while_a_client_listens(start_mcp, configure):
    legal = start_mcp(DEMO / "legal_mcp.py")
    await graph(configure(("server-1", legal.url)))
    legal.process.terminate()
    assert await asyncio.to_thread(legal.process.wait, 20) is not None
