"""The graph `instances` at its seam: what it asks of the engine, what it streams, and what becomes of a job's end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from scripted_runner import ScriptedRunner, event

from robyn_server.core.errors import Unavailable
from robyn_server.core.registry.jobs import RetryPolicy
from robyn_server.core.trace_context import TraceContext
from robyn_server.graphs.errors import ReportedError
from robyn_server.graphs.instances.factory import graph
from robyn_server.graphs.instances.runner import set_job_runner, set_trace_reader

ORGANIZATION = UUID(int=7)
HELLO = {"messages": [HumanMessage("hello", id="h1")]}


@pytest.fixture(autouse=True)
def _no_runner_afterwards() -> Iterator[None]:
    yield
    set_job_runner(None)
    set_trace_reader(None)


def _config(**configurable: Any) -> dict[str, Any]:
    return {
        "configurable": {
            "run_id": str(uuid4()),
            "thread_id": str(uuid4()),
            "user_id": "anna",
            "agenthall_agent_id": "my-bot",
            "agenthall_organization_id": str(ORGANIZATION),
            **configurable,
        }
    }


def _built(config: Any, saver: InMemorySaver | None = None) -> Any:
    return graph(config).copy({"checkpointer": saver or InMemorySaver()})


async def _values(runner: ScriptedRunner, given: Any = HELLO, **configurable: Any) -> Any:
    set_job_runner(runner)
    config = _config(**configurable)
    return await _built(config).ainvoke(given, config)


async def _stream(runner: ScriptedRunner, mode: str, **more: Any) -> list[Any]:
    set_job_runner(runner)
    config = _config()
    return [item async for item in _built(config).astream(HELLO, config, stream_mode=mode, **more)]


async def test_a_job_has_the_state_the_options_and_the_user() -> None:
    runner = ScriptedRunner([{"result": "hi"}])
    jobs = {
        "retry": "always",
        "max_attempts": 2,
        "schedule_to_start_seconds": 5,
        "run_within_seconds": 90,
        "required_capabilities": ["read"],
        "version": ">=1.2",
        "zone": "a",
    }
    await _values(runner, agenthall_jobs=jobs, affinity_key="k", tone="kind")
    (job,) = runner.jobs
    assert (job.agent_id, job.organization_id) == ("my-bot", ORGANIZATION)
    assert [each["content"] for each in job.input["input"]["messages"]] == ["hello"]
    assert job.input["user"] == {"identity": "anna"}
    assert job.input["config"]["configurable"]["tone"] == "kind"
    assert not any(key.startswith(("agenthall_", "__")) for key in job.input["config"]["configurable"])
    assert (job.policy.retry, job.policy.max_attempts) == (RetryPolicy.ALWAYS, 2)
    assert (job.policy.start_within, job.policy.run_within) == (timedelta(seconds=5), timedelta(seconds=90))
    assert (job.conditions.capabilities, job.conditions.zone, job.conditions.affinity_key) == (("read",), "a", "k")
    assert job.conditions.version.contains("1.3") and not job.conditions.version.contains("1.1")


async def test_a_job_has_the_trace_of_the_run_and_none_where_traces_are_off() -> None:
    runner = ScriptedRunner([{"result": "hi"}] * 2)
    await _values(runner)
    trace = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=x")
    set_trace_reader(lambda: trace)
    await _values(runner)
    untraced, traced = (job.input for job in runner.jobs)
    assert not {"traceparent", "tracestate"} & untraced.keys()
    assert (traced["traceparent"], traced["tracestate"]) == (trace.traceparent, "vendor=x")


async def test_a_repeated_attempt_of_the_run_asks_for_the_same_job() -> None:
    runner, config = ScriptedRunner([{"result": "hi"}] * 3), _config()
    set_job_runner(runner)
    await _built(config).ainvoke(HELLO, config)
    await _built(config).ainvoke(HELLO, config)
    other = _config(thread_id=config["configurable"]["thread_id"])
    await _built(other).ainvoke(HELLO, other)
    first, again, another_run = (job.job_id for job in runner.jobs)
    assert first == again != another_run


async def test_a_job_of_a_thread_that_is_not_kept_has_no_affinity() -> None:
    runner, config = ScriptedRunner([{"result": "hi"}]), _config()
    set_job_runner(runner)
    await graph(config).ainvoke(HELLO, config)  # type: ignore[arg-type]
    assert runner.jobs[0].thread_id is None


@pytest.mark.parametrize(
    ("result", "texts"),
    [
        ("hi", ["hello", "hi"]),
        ({"messages": [{"role": "ai", "content": "hi"}]}, ["hello", "hi"]),
        ([{"role": "ai", "content": "hi"}, {"role": "ai", "content": "there"}], ["hello", "hi", "there"]),
        ({}, ["hello"]),
        (None, ["hello"]),
    ],
)
async def test_a_result_is_an_update_of_the_state(result: Any, texts: list[str]) -> None:
    values = await _values(ScriptedRunner([{"result": result}]))
    assert [message.content for message in values["messages"]] == texts


async def test_each_attempt_of_the_run_streams_the_job_as_a_message_of_its_own() -> None:
    """The next worker streams the job from its beginning. A client must not join that to what it has."""
    set_job_runner(ScriptedRunner([{"result": None}] * 3, [[event("token", "hi", 1)]] * 3))
    config, ids = _config(), []
    for attempt in (1, 2, 2):
        attempted = {**config, "metadata": {"run_attempt": attempt}}
        ids.append((await _built(config).ainvoke(HELLO, attempted))["messages"][-1].id)
    assert ids[0] != ids[1] == ids[2]


async def test_tokens_without_a_result_are_the_answer() -> None:
    tokens = [event("token", "hi ", 1), event("token", "there", 2)]
    values = await _values(ScriptedRunner([{"result": None}], [tokens]))
    assert values["messages"][-1].content == "hi there"


async def test_properties_of_the_state_schema_are_channels_and_others_are_refused() -> None:
    schema = {"properties": {"score": {"type": "number", "description": "How good it is."}}}
    values = await _values(ScriptedRunner([{"result": {"score": 3}}]), agenthall_state_schema=schema)
    assert values["score"] == 3
    with pytest.raises(ReportedError, match="has the member 'colour'"):
        await _values(ScriptedRunner([{"result": {"colour": "red"}}]), agenthall_state_schema=schema)


def test_the_schemas_show_the_properties() -> None:
    schema = {"properties": {"score": {"type": "number", "description": "How good it is."}}}
    built = graph(_config(agenthall_state_schema=schema))  # type: ignore[arg-type]
    shown = built.get_output_jsonschema()["properties"]
    assert (shown["score"]["type"], shown["score"]["description"]) == ("number", "How good it is.")
    assert set(built.get_input_jsonschema()["properties"]) == {"messages", "score"}


async def test_tokens_stream_as_chunks_of_the_message_in_the_state() -> None:
    tokens = [event("token", "hi ", 1), event("token", "there", 2)]
    runner = ScriptedRunner([{"result": {"messages": [{"role": "ai", "content": "hi there"}]}}], [tokens])
    set_job_runner(runner)
    config = _config()
    built = _built(config)
    items = [item async for item in built.astream(HELLO, config, stream_mode="messages")]
    assert [chunk.content for chunk, _ in items] == ["hi ", "there"], "the whole message is not sent again"
    assert {metadata["langgraph_node"] for _, metadata in items} == {"agent"}
    state = await built.aget_state(config)
    assert {chunk.id for chunk, _ in items} == {state.values["messages"][-1].id}


async def test_messages_of_a_langgraph_instance_keep_their_ids() -> None:
    chunk = {"type": "AIMessageChunk", "content": "hi", "id": "m1"}
    runner = ScriptedRunner(
        [{"result": {"messages": [{"type": "ai", "content": "hi", "id": "m1"}]}}],
        [[event("messages", [chunk, {"langgraph_node": "inner"}])]],
    )
    items = await _stream(runner, "messages")
    assert [(chunk.content, chunk.id) for chunk, _ in items] == [("hi", "m1")]


async def test_custom_events_are_custom_events() -> None:
    assert await _stream(ScriptedRunner([{"result": "hi"}], [[event("custom", {"at": 1})]]), "custom") == [{"at": 1}]


async def test_values_of_the_instance_are_those_of_a_subgraph() -> None:
    runner = ScriptedRunner([{"result": "hi"}] * 2, [[event("values", {"inner": 1})]] * 2)
    items = await _stream(runner, "values", subgraphs=True)
    (of_instance,) = [(namespace, value) for namespace, value in items if namespace]
    assert of_instance[0][0].startswith("agent:") and of_instance[1] == {"inner": 1}
    assert all("inner" not in value for value in await _stream(runner, "values"))


async def test_another_attempt_begins_another_message() -> None:
    tokens = [event("token", "half", 1), event("token", "whole", 1, attempt=2)]
    runner = ScriptedRunner([{"result": None}] * 2, [tokens] * 2)
    items = await _stream(runner, "messages")
    assert len({chunk.id for chunk, _ in items}) == 2
    (note,) = await _stream(runner, "custom")
    assert (note["type"], note["attempt"]) == ("job_attempt", 2)


async def test_only_the_last_attempts_text_is_kept() -> None:
    tokens = [event("token", "half", 1), event("token", "whole", 1, attempt=2)]
    values = await _values(ScriptedRunner([{"result": None}], [tokens]))
    assert [message.content for message in values["messages"]] == ["hello", "whole"]


async def test_the_error_of_a_job_is_that_of_the_run() -> None:
    error = {"error": "no_instance", "message": "Nobody took it.", "tried": ["i1"]}
    with pytest.raises(ReportedError) as raised:
        await _values(ScriptedRunner([{"error": error}], state="expired"))
    assert raised.value.body == error


async def test_a_job_that_an_operator_cancels_is_an_error() -> None:
    with pytest.raises(ReportedError) as raised:
        await _values(ScriptedRunner([{}], state="cancelled"))
    assert raised.value.body["error"] == "job_cancelled"


async def test_a_process_that_makes_no_jobs_says_so() -> None:
    config = _config()
    with pytest.raises(Unavailable, match="gives no work"):
        await _built(config).ainvoke(HELLO, config)


async def test_an_interrupt_of_a_job_interrupts_and_the_answer_makes_another_job() -> None:
    runner = ScriptedRunner(
        [
            {"result": {"messages": [AIMessage("I ask.").model_dump()]}, "interrupts": [{"value": "Which one?"}]},
            {"result": "the red one it is"},
        ]
    )
    set_job_runner(runner)
    saver, config = InMemorySaver(), _config()
    built = _built(config, saver)
    values = await built.ainvoke(HELLO, config)
    assert [each.value for each in values["__interrupt__"]] == ["Which one?"]
    again = _config(thread_id=config["configurable"]["thread_id"])
    values = await built.ainvoke(Command(resume="the red one"), again)
    assert [message.content for message in values["messages"]] == ["hello", "I ask.", "the red one it is"]
    first, second = runner.jobs
    assert (first.input["resume"], second.input["resume"]) == (None, "the red one")
    assert second.job_id != first.job_id and second.thread_id == first.thread_id
    assert set((await built.aget_state(again)).values) == {"messages"}, "answers are not kept in the state"


async def test_several_interrupts_are_answered_together() -> None:
    asked = [{"id": "a", "value": "A?"}, {"id": "b", "value": "B?"}]
    runner = ScriptedRunner([{"interrupts": asked}, {"result": "done"}])
    set_job_runner(runner)
    saver, config = InMemorySaver(), _config()
    built = _built(config, saver)
    values = await built.ainvoke(HELLO, config)
    ids = {each.value: each.id for each in values["__interrupt__"]}
    assert set(ids) == {"A?", "B?"}
    await built.ainvoke(Command(resume={ids["B?"]: 2}), config)
    assert len(runner.jobs) == 1, "it waits for the other answer"
    await built.ainvoke(Command(resume={ids["A?"]: 1}), config)
    assert runner.jobs[1].input["resume"] == {"a": 1, "b": 2}
