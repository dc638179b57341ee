"""Models by name, proven on the wire."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from deadlines import DEADLINE

from tools_agent.agent import graph
from tools_agent.configuration import AgentConfig
from tools_agent.errors import ModelKeyMissing, ModelPackageMissing, SamplingNotOffered, UnknownModel
from tools_agent.models.chat import _require_supported, load_model
from tools_agent.models.offline import OfflineChatModel

SAMPLING = {
    "temperature": 0.25,
    "top_p": 0.5,
    "top_k": 40,
    "max_tokens": 77,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.2,
    "repetition_penalty": 1.3,
    "stop": ["END"],
    "seed": 7,
}


@pytest.mark.parametrize("streaming", [False, True])
async def test_every_sampling_key_reaches_the_providers_request(model_server, configure, ask, streaming):
    compiled = await graph(configure(model_name="openai:gpt-test", system_prompt="Be brief.", **SAMPLING))
    if streaming:
        async for _ in compiled.astream({"messages": [("user", "hi")]}, stream_mode="messages"):
            pass
    else:
        await ask(compiled, "hi")
    sent = model_server.requests[0]
    expected = {**SAMPLING, "max_completion_tokens": 77, "model": "gpt-test"}
    del expected["max_tokens"]  # OpenAI's client writes it under its new name
    assert {key: sent.get(key) for key in expected} == expected
    assert sent.get("stream", False) is streaming
    assert sent["_path"] == "/v1/chat/completions"
    assert sent["_authorization"] == "Bearer sk-of-the-server"
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_no_sampling_key_is_sent_that_was_not_given(model_server, configure, ask):
    await ask(await graph(configure(model_name="openai:gpt-test")), "hi")
    assert not set(model_server.requests[0]) & (set(SAMPLING) | {"max_completion_tokens"})


async def test_a_stop_that_is_one_string_is_sent(model_server, configure, ask):
    await ask(await graph(configure(model_name="openai:gpt-test", stop="END")), "hi")
    assert model_server.requests[0]["stop"] in ("END", ["END"])


async def test_a_base_url_in_the_configuration_is_ignored(model_server, configure, ask):
    evil = {"base_url": "http://127.0.0.1:1", "openai_api_base": "http://127.0.0.1:1", "api_key": "x"}
    assert (await ask(await graph(configure(model_name="openai:gpt-test", **evil)), "hi"))[-1].content == "fine"


async def test_a_streamed_tool_call_reaches_the_mcp_server_and_its_result_the_model(
    model_server, shared_toolbox, configure
):
    model_server.script = [("echo", {"text": "over the wire"}), "it said it"]
    compiled = await graph(configure(("s", shared_toolbox.url), model_name="openai:gpt-test"))
    tokens = [
        chunk.content
        async for chunk, _ in compiled.astream({"messages": [("user", "hi")]}, stream_mode="messages")
        if chunk.type == "AIMessageChunk" and chunk.content
    ]
    assert tokens == ["it", "said", "it"]
    offered = {tool["function"]["name"] for tool in model_server.requests[0]["tools"]}
    assert {"echo", "slow"} <= offered
    result = model_server.requests[1]["messages"][-1]
    assert (result["role"], result["content"], result["tool_call_id"]) == ("tool", "over the wire", "call_1")


async def test_a_model_the_provider_does_not_know_is_the_providers_error(model_server, configure, ask):
    compiled = await graph(configure(model_name="openai:gpt-none"))
    with pytest.raises(Exception, match="no gpt-none"):
        await ask(compiled, "hi")


async def test_a_missing_key_is_named(monkeypatch, configure):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ModelKeyMissing, match="set OPENAI_API_KEY"):
        await graph(configure(model_name="openai:gpt-4o"))
    with pytest.raises(ModelKeyMissing, match="set OPENAI_API_KEY"):
        await graph({"configurable": {}})


@pytest.mark.parametrize("name", ["nobody:nothing", "qwertz", "", ":", "openai"])
async def test_an_unknown_model_is_said_to_be_unknown(name, configure, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with pytest.raises(UnknownModel, match="write provider:model"):
        await graph(configure(model_name=name))


async def test_a_missing_package_is_named(configure):
    with pytest.raises(ModelPackageMissing, match="pip install 'langchain-mistralai'"):
        await graph(configure(model_name="mistralai:small"))


@pytest.mark.parametrize("extra", ["openai", "anthropic"])
def test_the_extra_of_a_provider_is_named_when_its_package_is_missing(extra):
    code = (
        f"import sys; sys.modules['langchain_{extra}'] = None\n"
        "from tools_agent.models.chat import load_model; from tools_agent.configuration import AgentConfig\n"
        f"try: load_model(AgentConfig(model_name='{extra}:some-model'))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=DEADLINE)
    assert ran.stdout.startswith("ModelPackageMissing")
    assert f"pip install 'agenthall[{extra}]'" in ran.stdout


async def test_the_sampling_keys_that_anthropic_has_reach_its_request(strict_anthropic, configure, ask):
    sampling = {"temperature": 0.25, "top_p": 0.5, "top_k": 40, "max_tokens": 77.0, "stop": ["END"]}
    await ask(await graph(configure(model_name="anthropic:claude-test", system_prompt="Be brief.", **sampling)), "hi")
    [sent] = strict_anthropic.requests
    expected = {"temperature": 0.25, "top_p": 0.5, "top_k": 40, "max_tokens": 77, "stop_sequences": ["END"]}
    assert {key: sent.get(key) for key in expected} == expected
    assert sent["system"] == "Be brief."


@pytest.mark.parametrize("key", ["frequency_penalty", "presence_penalty", "repetition_penalty", "seed"])
@pytest.mark.usefixtures("strict_anthropic")
async def test_a_sampling_key_that_anthropic_lacks_is_refused_by_name(configure, key):
    with pytest.raises(SamplingNotOffered, match=f"does not support {key}"):
        await graph(configure(model_name="anthropic:claude-test", **{key: 1}))


async def test_a_missing_key_of_anthropic_is_named(monkeypatch, configure):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    for name in ("anthropic:claude-test", "claude-test"):
        with pytest.raises(ModelKeyMissing, match="set ANTHROPIC_API_KEY"):
            await graph(configure(model_name=name))


def test_a_sampling_key_that_a_provider_has_no_place_for_is_refused():
    with pytest.raises(SamplingNotOffered, match="does not support temperature"):
        _require_supported("some:model", OfflineChatModel(), {"temperature": 1.0})


def test_the_offline_model_needs_nothing():
    model = load_model(AgentConfig(model_name="offline:slow", temperature=1.0))
    assert isinstance(model, OfflineChatModel)
    assert model.token_seconds == 0.02
    assert json.dumps(model._identifying_params) == '{"model": "offline:slow"}'
