"""MCP tools of a whole agent, against real servers."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

from deadlines import DEADLINE

from tools_agent.agent import graph
from tools_agent.limits import Limits, set_limits
from tools_agent.notices import METADATA_KEY, collect


async def test_a_tool_of_a_server_is_called_and_its_text_comes_back_as_one_string(shared_toolbox, configure, ask):
    compiled = await graph(configure(("server-1", shared_toolbox.url)))
    messages = await ask(compiled, 'use the tool echo with {"text": "good morning"}')
    assert messages[2].content == "good morning"
    assert messages[2].status == "success"
    assert "good morning" in messages[-1].content
    assert 'call echo {"text": "good morning"}' in shared_toolbox.lines
    assert compiled.notices == ()


async def test_a_path_in_the_url_is_used_as_it_is(shared_toolbox, configure):
    compiled = await graph(configure(("a", f"{shared_toolbox.url}/mcp"), ("b", f"{shared_toolbox.url}/elsewhere")))
    assert [(notice["kind"], notice["server"]) for notice in compiled.notices] == [("mcp_server_unavailable", "b")]


async def test_a_dead_server_is_named_and_the_tools_of_the_others_stay(shared_toolbox, configure, ask):
    dead = {"name": "server-2", "url": "http://127.0.0.1:1"}
    compiled = await graph(configure(("server-1", shared_toolbox.url), dead))
    assert [notice["kind"] for notice in compiled.notices] == ["mcp_server_unavailable"]
    assert compiled.notices[0]["server"] == "server-2"
    assert compiled.notices[0]["url"] == "http://127.0.0.1:1"
    assert "server-2" in (await ask(compiled, "hello"))[-1].content
    assert (await ask(compiled, 'use the tool echo with {"text": "still here"}'))[2].content == "still here"


async def test_the_model_is_told_what_is_missing(model_server, configure, ask):
    compiled = await graph(
        configure(("server-9", "http://127.0.0.1:1"), model_name="openai:gpt-test", system_prompt="Be kind.")
    )
    await ask(compiled, "hello")
    system = model_server.requests[0]["messages"][0]
    assert system["role"] == "system"
    assert system["content"].startswith("Be kind.")
    assert "MCP server server-9 (http://127.0.0.1:1) is unavailable" in system["content"]


async def test_a_notice_never_repeats_credentials_of_a_url(configure):
    compiled = await graph(configure(("secretive", "http://user:hunter2@127.0.0.1:1/mcp?api_key=hunter3")))
    assert "hunter" not in json.dumps(compiled.notices)


async def test_a_server_that_never_answers_costs_its_timeout_once_while_the_others_load(
    shared_toolbox, silent_server, configure
):
    set_limits(Limits(connect=1.0, failure=60))
    servers = [("quick", shared_toolbox.url), ("mute-1", silent_server.url), ("mute-2", f"{silent_server.url}/other")]
    first = await graph(configure(*servers))
    asked = len(silent_server.connections)
    second = await graph(configure(*servers))
    assert asked > 0 and len(silent_server.connections) == asked, "the failure is remembered"
    assert [notice["server"] for notice in first.notices] == ["mute-1", "mute-2"]
    assert "did not answer within 1 s" in first.notices[0]["detail"]
    assert second.notices == first.notices


async def test_a_server_that_comes_back_is_tried_again_after_a_moment(start_mcp, configure):
    set_limits(Limits(failure=0.05))
    server = start_mcp("toolbox.py", "--offer", "echo")
    server.kill()
    config = configure(("server-1", server.url))
    assert (await graph(config)).notices
    server.start()
    async with asyncio.timeout(DEADLINE):
        while (await graph(config)).notices:
            await asyncio.sleep(0.05)


async def test_an_allow_list_offers_only_what_it_names(shared_toolbox, configure, ask):
    only_echo = {"name": "server-1", "url": shared_toolbox.url, "tools": ["echo"]}
    compiled = await graph(configure(only_echo))
    assert "I have: echo." in (await ask(compiled, "use the tool fail"))[-1].content
    assert compiled.notices == ()


async def test_an_allow_list_that_matches_nothing_offers_nothing_and_is_reported(shared_toolbox, configure, ask):
    compiled = await graph(configure({"name": "legal", "url": shared_toolbox.url, "tools": ["search_law", "cite"]}))
    assert [(one["kind"], one["server"], one["names"]) for one in compiled.notices] == [
        ("mcp_tools_not_found", "legal", ["cite", "search_law"])
    ]
    assert "I have no tools" in (await ask(compiled, "use the tool echo"))[-1].content


async def test_an_empty_allow_list_offers_nothing_and_is_reported(shared_toolbox, configure, ask):
    compiled = await graph(configure({"name": "legal", "url": shared_toolbox.url, "tools": []}))
    assert [one["kind"] for one in compiled.notices] == ["mcp_tools_not_found"]
    assert "I have no tools" in (await ask(compiled, "use the tool echo"))[-1].content


async def test_names_of_an_allow_list_that_the_server_lacks_are_reported_and_the_others_offered(
    shared_toolbox, configure, ask
):
    compiled = await graph(configure({"name": "s", "url": shared_toolbox.url, "tools": ["echo", "gone"]}))
    assert compiled.notices[0]["names"] == ["gone"]
    assert (await ask(compiled, 'use the tool echo with {"text": "yes"}'))[2].content == "yes"


async def test_colliding_names_carry_the_name_of_the_later_server(shared_toolbox, second_toolbox, configure, ask):
    compiled = await graph(configure(("server-1", shared_toolbox.url), ("server-2", second_toolbox.url)))
    await ask(compiled, 'use the tool server-2__echo with {"text": "to the second"}')
    await ask(compiled, 'use the tool echo with {"text": "to the first"}')
    assert 'call echo {"text": "to the second"}' in second_toolbox.lines
    assert 'call echo {"text": "to the second"}' not in shared_toolbox.lines
    assert 'call echo {"text": "to the first"}' in shared_toolbox.lines


async def test_servers_of_one_name_are_told_apart(shared_toolbox, second_toolbox, configure, ask):
    compiled = await graph(configure(("default", shared_toolbox.url), ("default", second_toolbox.url)))
    await ask(compiled, 'use the tool default-2__echo with {"text": "second default"}')
    assert 'call echo {"text": "second default"}' in second_toolbox.lines


async def test_a_hundred_tools_are_offered(start_mcp, configure, ask):
    server = start_mcp("toolbox.py", "--tools", "100")
    compiled = await graph(configure(("server-1", server.url)))
    assert (await ask(compiled, 'use the tool plain_99 with {"text": "last"}'))[2].content == "last"


async def test_a_server_that_needs_a_token_is_not_dialled_and_named(start_mcp, configure):
    compiled = await graph(configure({"name": "vault", "url": "http://127.0.0.1:1", "auth_required": True}))
    assert "needs a credential" in compiled.notices[0]["detail"]
    assert compiled.notices[0]["kind"] == "mcp_server_unavailable"


async def test_a_server_that_wants_a_token_nobody_announced_is_unavailable_with_its_status(start_mcp, configure):
    server = start_mcp("toolbox.py", "--token", "t")
    compiled = await graph(configure(("server-1", server.url)))
    assert "401 Unauthorized" in compiled.notices[0]["detail"]


async def test_only_http_is_spoken(configure):
    urls = ["stdio://bin/sh", "ws://127.0.0.1:1", "/etc/passwd", "http://", "http://[", "http://h:99999"]
    compiled = await graph(configure(*[(f"s{n}", url) for n, url in enumerate(urls)]))
    assert [notice["server"] for notice in compiled.notices] == [f"s{n}" for n in range(len(urls))]


async def test_agent_tools_without_a_host_are_named_as_not_offered_and_the_agent_runs(configure, ask):
    other = uuid4()
    compiled = await graph(configure(agent_tools=[str(other)]))
    assert compiled.notices[0]["kind"] == "agent_tools_not_offered"
    assert compiled.notices[0]["names"] == [str(other)]
    assert "offline model" in (await ask(compiled, "hello"))[-1].content


async def test_an_error_of_a_tool_is_a_result_for_the_model(shared_toolbox, configure, ask):
    messages = await ask(await graph(configure(("s", shared_toolbox.url))), 'use the tool fail with {"why": "no ink"}')
    assert messages[2].status == "error"
    assert "no ink" in messages[2].content
    assert "no ink" in messages[-1].content


async def test_arguments_the_server_refuses_are_a_result_for_the_model(shared_toolbox, configure, ask):
    messages = await ask(
        await graph(configure(("s", shared_toolbox.url))), 'use the tool slow with {"seconds": "soon"}'
    )
    assert messages[2].status == "error"
    assert "seconds" in messages[2].content


async def test_arguments_reach_the_tool_whatever_they_are_called(shared_toolbox, configure, ask):
    arguments = {"config": "a", "runtime": "b", "run_manager": "c", "callbacks": "d", "kwargs": "e"}
    messages = await ask(
        await graph(configure(("s", shared_toolbox.url))), f"use the tool odd with {json.dumps(arguments)}"
    )
    assert messages[2].content == "a b c d e"


async def test_images_stay_blocks(shared_toolbox, configure, ask):
    messages = await ask(await graph(configure(("s", shared_toolbox.url))), "use the tool picture")
    assert [block["type"] for block in messages[2].content] == ["text", "image"]


async def test_sound_is_kept_and_described_to_the_model(shared_toolbox, configure, ask):
    messages = await ask(await graph(configure(("s", shared_toolbox.url))), "use the tool sound")
    assert messages[2].status == "success"
    assert messages[2].content == [{"type": "file", "base64": "aGk=", "mime_type": "audio/wav"}]
    assert "audio/wav" in messages[-1].content


async def test_a_server_that_dies_in_the_middle_of_a_call_fails_that_call_soon(start_mcp, configure, ask):
    set_limits(Limits(read=600, ping=0.2))
    server = start_mcp("toolbox.py")
    compiled = await graph(configure(("frail", server.url)))
    messages = await ask(compiled, "use the tool die")
    assert messages[2].status == "error"
    assert "frail" in messages[2].content
    assert server.calls("die") == 1, "a tool that may have run is never repeated"


async def test_a_server_that_is_replaced_in_the_middle_of_a_call_fails_that_call_soon(
    start_mcp, configure, ask, eventually
):
    set_limits(Limits(read=600, ping=0.2))
    server = start_mcp("toolbox.py")
    running = asyncio.create_task(
        ask(await graph(configure(("frail", server.url))), 'use the tool slow with {"seconds": 500}')
    )
    await eventually(lambda: server.calls("slow") == 1, "the tool runs")
    await asyncio.to_thread(server.restart)
    assert (await running)[2].status == "error"
    assert server.calls("slow") == 1, "a tool that may have run is never repeated"


async def test_a_call_that_outlasts_pings_is_answered(shared_toolbox, configure, ask):
    set_limits(Limits(ping=0.05))
    messages = await ask(await graph(configure(("s", shared_toolbox.url))), 'use the tool slow with {"seconds": 0.5}')
    assert messages[2].content == "at last"


async def test_a_server_without_sessions_serves_as_well(start_mcp, configure, ask):
    server = start_mcp("toolbox.py", "--stateless")
    compiled = await graph(configure(("s", server.url)))
    assert (await ask(compiled, 'use the tool echo with {"text": "hi"}'))[2].content == "hi"


async def test_a_call_longer_than_the_read_timeout_is_an_error_for_the_model(shared_toolbox, configure, ask):
    set_limits(Limits(read=0.3))
    messages = await ask(await graph(configure(("s", shared_toolbox.url))), 'use the tool slow with {"seconds": 60}')
    assert messages[2].status == "error"
    assert "no answer within 0.3 s" in messages[2].content


async def test_what_needs_the_user_reaches_the_user_with_its_url(interaction_server, configure, ask):
    url = "https://consent.example/start?state=a1b2&scope=mail"
    messages = await ask(await graph(configure(("mail", interaction_server.url))), "use the tool read_mail")
    assert messages[2].status == "error"
    assert f"Connect your mailbox. Open {url}" in messages[2].content
    assert url in messages[-1].content
    assert collect(messages) == [
        {"kind": "interaction_required", "tool": "read_mail", "detail": "Connect your mailbox.", "url": url}
    ]


async def test_a_model_that_keeps_the_url_to_itself_is_followed_by_a_message_that_says_it(
    interaction_server, model_server, configure
):
    model_server.script = [("read_mail", {}), "I could not read it."]
    compiled = await graph(configure(("mail", interaction_server.url), model_name="openai:gpt-test"))
    streamed = []
    final = {}
    async for mode, chunk in compiled.astream(
        {"messages": [{"role": "user", "content": "my mail"}]}, stream_mode=["messages", "values"]
    ):
        if mode == "messages":
            streamed.append(chunk[0])
        else:
            final = chunk
    assert [message.type for message in final["messages"]] == ["human", "ai", "tool", "ai", "ai"]
    assert "https://consent.example/start" in final["messages"][-1].content
    assert final["messages"][-1].additional_kwargs[METADATA_KEY][0]["kind"] == "interaction_required"
    assert final["messages"][-1].id in {message.id for message in streamed}, "it is streamed as well"


async def test_the_specified_url_elicitation_is_understood_too(interaction_server, configure, ask):
    messages = await ask(await graph(configure(("mail", interaction_server.url))), "use the tool sign")
    assert "Sign first. Open https://sign.example/document/7" in messages[-1].content


async def test_an_address_that_is_no_web_page_is_never_shown_as_one(interaction_server, configure, ask):
    messages = await ask(await graph(configure(("mail", interaction_server.url))), "use the tool trap")
    assert "Click here." in messages[-1].content
    assert "javascript:" not in str(messages)


async def test_any_other_json_rpc_error_is_a_result_for_the_model(interaction_server, configure, ask):
    messages = await ask(await graph(configure(("mail", interaction_server.url))), "use the tool refuse")
    assert messages[2].status == "error"
    assert "Quota exceeded (code -32001)" in messages[2].content
