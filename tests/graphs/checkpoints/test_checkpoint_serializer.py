"""Values of a state that msgpack has no form for."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from robyn_server.graphs.checkpoints.serializer import checkpoint_serializer


def nested(levels: int, inner: Any = 1) -> Any:
    value = inner
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


CALL = {"name": "t", "args": {"n": 10**30, "deep": nested(400)}, "id": "c", "type": "tool_call"}
VALUES: list[Any] = [
    2**64,
    -(2**63) - 1,
    10**5000,
    {"a": [10**30, {"b": [-(10**30)]}]},
    {10**30, 5},
    nested(240),
    nested(300, 10**30),
    nested(500),
    ToolMessage("ok", tool_call_id="c", artifact={"structured_content": {"n": 10**30}}),
    AIMessage("", tool_calls=[CALL]),
    Send("tools", [CALL]),
    [True, False, None, 1.5, "text", b"bytes", 2**63, 2**64 - 1, -(2**63)],
]


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_a_value_is_read_as_it_was_written(number: int) -> None:
    serializer = checkpoint_serializer()
    assert serializer.loads_typed(serializer.dumps_typed(VALUES[number])) == VALUES[number]


class Numbers(TypedDict, total=False):
    n: Any


async def test_a_graph_with_such_values_in_its_state_goes_on() -> None:
    builder = StateGraph(Numbers).add_node("double", lambda state: {"n": state["n"] * 2})
    builder.add_edge(START, "double").add_edge("double", END)
    compiled = builder.compile(checkpointer=InMemorySaver(serde=checkpoint_serializer()))
    thread: Any = {"configurable": {"thread_id": "t"}}
    await compiled.ainvoke({"n": 10**30}, thread)
    assert (await compiled.aget_state(thread)).values == {"n": 2 * 10**30}


def test_a_checkpoint_still_imports_known_types_only() -> None:
    from types import SimpleNamespace

    serializer = checkpoint_serializer()
    with pytest.raises(TypeError):
        serializer.dumps_typed(SimpleNamespace(a=1))
    import pathlib

    import ormsgpack
    from langgraph.checkpoint.serde.jsonplus import EXT_CONSTRUCTOR_SINGLE_ARG

    payload = ormsgpack.packb(("os", "system", "true"))
    evil = ormsgpack.packb(ormsgpack.Ext(EXT_CONSTRUCTOR_SINGLE_ARG, payload))
    assert serializer.loads_typed(("msgpack", evil)) == "true"
    assert pathlib.Path("/a") == serializer.loads_typed(serializer.dumps_typed(pathlib.Path("/a")))
