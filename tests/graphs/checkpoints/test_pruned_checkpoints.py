"""A thread goes on after its checkpoints were pruned, and nothing is left of those that went."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import chain
from operator import add
from typing import Annotated, Any, TypeAlias, TypedDict
from uuid import UUID

import pytest
from databases import open_pools
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from served.sample_graphs import approval, counter, family, nested

from robyn_server.core.ids import new_id
from robyn_server.graphs.checkpoints.saver import Checkpoints
from robyn_server.storage.postgres.pools import Pool

Graph: TypeAlias = Any
Talk: TypeAlias = Callable[[Graph, Any], Awaitable[None]]
"""Uses the graph on the thread of a config."""


def _join(state: list[str], writes: Sequence[list[str]]) -> list[str]:
    return [*state, *chain.from_iterable(writes)]


class Notes(TypedDict, total=False):
    note: str
    notes: Annotated[list[str], DeltaChannel(_join, snapshot_frequency=4)]
    seen: Annotated[list[str], add]


def _take(state: Notes) -> Notes:
    return {"notes": [state["note"]], "seen": [state["note"]]}


async def _question(state: Notes) -> Notes:
    return {"notes": [interrupt("which?")]} if state["note"].endswith("?") else {}


delta = (
    StateGraph(Notes)
    .add_node("take", _take)
    .add_node("question", _question)
    .add_edge(START, "take")
    .add_edge("take", "question")
    .add_edge("question", END)
    .compile()
)
"""A channel whose value is replayed from the writes since its last snapshot."""


class Calls(TypedDict, total=False):
    until: int
    count: int
    seen: Annotated[list[int], add]
    calls: Annotated[list[str], add]


lasting = (
    StateGraph(Calls)
    .add_node("child", counter.copy({"checkpointer": True}))
    .add_node("after", lambda _: {"calls": ["one"]})
    .add_edge(START, "child")
    .add_edge("child", "after")
    .compile()
)
"""A subgraph that keeps a state of its own from one call to the next."""


class Answers(TypedDict, total=False):
    questions: list[str]
    question: str
    answers: Annotated[list[str], add]


fan = (
    StateGraph(Answers)
    .add_node("ask", lambda state: {"answers": [interrupt(state["question"])]})
    .add_conditional_edges(START, lambda state: [Send("ask", {"question": each}) for each in state["questions"]])
    .compile()
)
"""Asks several questions at once."""


async def _count(graph: Graph, config: Any) -> None:
    for until in (3, 5, 8):
        await graph.ainvoke({"until": until}, config)


async def _wait(graph: Graph, config: Any) -> None:
    for answer in ("yes", "no"):
        await graph.ainvoke({"question": "leave?"}, config)
        await graph.ainvoke(Command(resume=answer), config)
    await graph.ainvoke({"question": "leave?"}, config)


async def _fork(graph: Graph, config: Any) -> None:
    await _count(graph, config)
    history = [each async for each in graph.aget_state_history(config)]
    await graph.aupdate_state(history[4].config, {"count": 40}, as_node="step")


async def _ask_several(graph: Graph, config: Any) -> None:
    await graph.ainvoke({"questions": ["a", "b", "c"]}, config)
    first = (await graph.aget_state(config)).interrupts[0]
    await graph.ainvoke(Command(resume={first.id: "first"}), config)


async def _note(graph: Graph, config: Any) -> None:
    for number in range(7):
        await graph.ainvoke({"note": f"note {number}"}, config)
    await graph.ainvoke({"note": "open?"}, config)


async def _note_at_exit(graph: Graph, config: Any) -> None:
    for number in range(6):
        await graph.ainvoke({"note": f"note {number}"}, config, durability="exit")
    await graph.ainvoke({"note": "open?"}, config, durability="exit")


async def _note_and_fork(graph: Graph, config: Any) -> None:
    await _note(graph, config)
    history = [each async for each in graph.aget_state_history(config)]
    await graph.aupdate_state(history[9].config, {"notes": ["forked"]}, as_node="take")
    await graph.aupdate_state(config, {"notes": ["twice"]}, as_node="take")


async def _wait_at_exit(graph: Graph, config: Any) -> None:
    for answer in ("yes", "no"):
        await graph.ainvoke({"question": "leave?"}, config, durability="exit")
        await graph.ainvoke(Command(resume=answer), config, durability="exit")
    await graph.ainvoke({"question": "leave?"}, config, durability="exit")


TALKS: dict[str, tuple[Graph, Talk, Any]] = {
    "several turns": (counter, _count, {"until": 10}),
    "a fork": (counter, _fork, None),
    "an open question": (approval, _wait, Command(resume="maybe")),
    "an open question of a subgraph": (family, _wait, Command(resume="maybe")),
    "an open question that was saved at the exit": (family, _wait_at_exit, Command(resume="maybe")),
    "an open question of a subgraph's subgraph": (nested, _wait, Command(resume="maybe")),
    "a subgraph with a lasting state": (lasting, _count, {"until": 10}),
    "questions of which one is answered": (fan, _ask_several, None),
    "replayed channels": (delta, _note, Command(resume="this")),
    "replayed channels that were saved at the exit": (delta, _note_at_exit, Command(resume="this")),
    "a fork of replayed channels": (delta, _note_and_fork, None),
}


@pytest.fixture
async def checkpoints(database: str) -> AsyncIterator[Checkpoints]:
    checkpoints = Checkpoints(database, size=2)
    await checkpoints.start()
    yield checkpoints
    await checkpoints.stop()


@pytest.fixture
async def system(database: str) -> AsyncIterator[Pool]:
    async with open_pools(database) as (_, system, _):
        yield system


def _config(thread_id: UUID) -> Any:
    return {"configurable": {"thread_id": str(thread_id)}}


def _with(graph: Graph, checkpoints: Checkpoints) -> Graph:
    return graph.copy({"checkpointer": checkpoints.saver()})


async def _prune(system: Pool, thread_id: UUID, keep: int = 1) -> int:
    deleted: int = await system.fetchval("select agenthall.prune_checkpoints($1, $2)", thread_id, keep)
    return deleted


async def _copy(system: Pool, thread_id: UUID) -> UUID:
    copy = new_id()
    for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
        rows = await system.fetch(
            "select attname from pg_attribute where attrelid = $1::regclass and attnum > 0", f"langgraph.{table}"
        )
        columns = ", ".join(f'"{row["attname"]}"' for row in rows)
        values = columns.replace('"thread_id"', "$2::text")
        await system.execute(
            f"insert into langgraph.{table} ({columns}) select {values} from langgraph.{table} where thread_id = $1",
            str(thread_id),
            str(copy),
        )
    return copy


def _shown(snapshot: Any) -> Any:
    """Return a snapshot without the checkpoint before it and the id of the thread."""
    tasks = [
        (task.id, task.name, task.error, task.interrupts, task.result, task.state and _shown_task(task.state))
        for task in snapshot.tasks
    ]
    return (snapshot.values, snapshot.next, tasks, snapshot.interrupts, snapshot.created_at)


def _shown_task(state: Any) -> Any:
    return None if isinstance(state, dict) else _shown(state)


ROWS = {
    "checkpoints": "checkpoint_ns, checkpoint_id",
    "checkpoint_blobs": "checkpoint_ns, channel, version",
    "checkpoint_writes": "checkpoint_ns, checkpoint_id, task_id, idx",
}


async def _rows(system: Pool, thread_id: UUID) -> dict[str, set[Any]]:
    return {
        table: {
            tuple(row)
            for row in await system.fetch(f"select {key} from langgraph.{table} where thread_id = $1", str(thread_id))
        }
        for table, key in ROWS.items()
    }


@pytest.mark.parametrize("name", TALKS)
async def test_a_thread_says_the_same_and_goes_on_as_if_nothing_was_pruned(
    checkpoints: Checkpoints, system: Pool, name: str
) -> None:
    graph, talk, next_input = TALKS[name]
    served, thread = _with(graph, checkpoints), new_id()
    await talk(served, _config(thread))
    whole = await _copy(system, thread)
    before = _shown(await served.aget_state(_config(thread), subgraphs=True))
    assert await _prune(system, thread) > 0
    assert _shown(await served.aget_state(_config(thread), subgraphs=True)) == before
    assert await _prune(system, thread) == 0, "a second time there is nothing to prune"
    ends = [await served.ainvoke(next_input, _config(each)) for each in (thread, whole)]
    assert _without_ids(ends[0]) == _without_ids(ends[1])
    states = [(await served.aget_state(_config(each))).values for each in (thread, whole)]
    assert states[0] == states[1]


def _without_ids(end: Any) -> Any:
    """The namespace of an interrupt has ids of tasks, which differ."""
    return {key: value for key, value in end.items() if key != "__interrupt__"}


@pytest.mark.parametrize("name", [name for name, (graph, _, _) in TALKS.items() if graph is not delta])
async def test_the_same_rows_are_left_as_by_langgraph_s_own_pruning(
    checkpoints: Checkpoints, system: Pool, name: str
) -> None:
    graph, talk, _ = TALKS[name]
    thread = new_id()
    await talk(_with(graph, checkpoints), _config(thread))
    other = await _copy(system, thread)
    saver: AsyncPostgresSaver = checkpoints.saver()
    await saver.aprune([str(other)])
    await _prune(system, thread)
    assert await _rows(system, thread) == await _rows(system, other)


_UNREFERENCED = """
select count(*) from langgraph.checkpoint_blobs b
 where b.thread_id = $1 and not exists (
   select from langgraph.checkpoints c cross join lateral jsonb_each_text(c.checkpoint -> 'channel_versions') v
    where c.thread_id = $1 and c.checkpoint_ns = b.checkpoint_ns and v.key = b.channel and v.value = b.version)"""
_BYTES = """
select sum(octet_length(blob)) from langgraph.checkpoint_blobs where thread_id = $1"""


async def test_the_bytes_of_a_long_conversation_are_freed(checkpoints: Checkpoints, system: Pool) -> None:
    """Each turn writes the whole list again."""
    served, thread = _with(counter, checkpoints), new_id()
    await served.ainvoke({"until": 120}, _config(thread) | {"recursion_limit": 500})
    before = await system.fetchval(_BYTES, str(thread))
    await _prune(system, thread)
    after = await system.fetchval(_BYTES, str(thread))
    assert after * 50 < before
    assert await system.fetchval(_UNREFERENCED, str(thread)) == 0


@pytest.mark.parametrize("keep", [2, 5, 1000])
@pytest.mark.parametrize("name", ["several turns", "replayed channels", "an open question of a subgraph"])
async def test_the_latest_checkpoints_can_still_be_read(
    checkpoints: Checkpoints, system: Pool, name: str, keep: int
) -> None:
    graph, talk, _ = TALKS[name]
    served, thread = _with(graph, checkpoints), new_id()
    await talk(served, _config(thread))
    before = [_shown(each) async for each in served.aget_state_history(_config(thread))]
    await _prune(system, thread, keep)
    after = [_shown(each) async for each in served.aget_state_history(_config(thread))]
    assert after == before[: len(after)]
    assert len(after) >= min(keep, len(before))
    if graph is not delta:
        assert len(after) == min(keep, len(before))


async def test_a_thread_of_a_replayed_channel_keeps_what_follows_its_last_snapshot(
    checkpoints: Checkpoints, system: Pool
) -> None:
    served, thread = _with(delta, checkpoints), new_id()
    for number in range(40):
        await served.ainvoke({"note": f"note {number}"}, _config(thread))
    before = len([each async for each in served.aget_state_history(_config(thread))])
    await _prune(system, thread)
    left = [each async for each in served.aget_state_history(_config(thread))]
    assert len(left) < 20 < before, "a snapshot is made with every fourth note"
    assert left[0].values["notes"] == [f"note {number}" for number in range(40)]
    await served.ainvoke({"note": "the last"}, _config(thread))
    assert (await served.aget_state(_config(thread))).values["notes"][-2:] == ["note 39", "the last"]


async def test_other_threads_are_left_alone(checkpoints: Checkpoints, system: Pool) -> None:
    served, thread, other = _with(counter, checkpoints), new_id(), new_id()
    for each in (thread, other):
        await _count(served, _config(each))
    rows = await _rows(system, other)
    await _prune(system, thread)
    assert await _rows(system, other) == rows


STEPS = st.one_of(
    st.tuples(st.just("note"), st.sampled_from(["a", "b", "open?"]), st.sampled_from(["async", "exit"])),
    st.tuples(st.just("answer"), st.sampled_from(["yes", "no"])),
    st.tuples(st.just("update"), st.integers(0, 3)),
    st.tuples(st.just("prune"), st.integers(1, 4)),
)


async def _take_step(graph: Graph, config: Any, step: Any) -> None:
    match step:
        case ("note", note, durability):
            await graph.ainvoke({"note": note}, config, durability=durability)
        case ("answer", answer):
            if (await graph.aget_state(config)).interrupts:
                await graph.ainvoke(Command(resume=answer), config)
        case ("update", back):
            await graph.aupdate_state(await _earlier(graph, config, back), {"notes": ["updated"]}, as_node="take")


async def _earlier(graph: Graph, config: Any, back: int) -> Any:
    """Return the config of the state so many before the latest one, or of the first one."""
    history = [each async for each in graph.aget_state_history(config, limit=back + 1)]
    return history[-1].config if history else config


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=3, max_size=12))
async def test_a_conversation_with_prunes_goes_as_one_without(
    checkpoints: Checkpoints, system: Pool, steps: list[Any]
) -> None:
    """Updates fork from one of the last states, which both have as long as no prune has left fewer."""
    served, pruned, whole = _with(delta, checkpoints), new_id(), new_id()
    least = 4
    for step in steps:
        if step[0] == "prune":
            await _prune(system, pruned, step[1])
            least = min(least, step[1])
            continue
        taken = ("update", min(step[1], least - 1)) if step[0] == "update" else step
        for each in (pruned, whole):
            await _take_step(served, _config(each), taken)
        states = [await served.aget_state(_config(each)) for each in (pruned, whole)]
        shown = [(state.values, state.next, [each.value for each in state.interrupts]) for state in states]
        assert shown[0] == shown[1]
