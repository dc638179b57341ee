"""Graphs that the console is shown with: hostile texts in every field, pictures, and questions side by side."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt

from tools_agent.models.offline import OfflineChatModel

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel."""

_MARKDOWN = f"""# {HOSTILE}

[a link](javascript:document.title='owned') and [the web](https://example.com/law)
![a picture](https://example.com/pixel.png)

| {HOSTILE} |
| --- |
| `{HOSTILE}` |
"""


class Hostile(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]
    note: Any


def _attack(_state: Hostile) -> Hostile:
    call = {"name": HOSTILE, "args": {HOSTILE: HOSTILE}, "id": f"call {HOSTILE}"}
    picture = {"type": "image", "base64": PIXEL, "mime_type": "image/png", "extras": {"name": HOSTILE}}
    link = {"type": "image", "url": "javascript:document.title='owned'"}
    result = ToolMessage(
        [{"type": "text", "text": HOSTILE}, picture, link, {"type": HOSTILE, HOSTILE: HOSTILE}],
        tool_call_id=call["id"],
        name=HOSTILE,
        artifact={"structured_content": {HOSTILE: HOSTILE}},
    )
    return {"messages": [AIMessage(_MARKDOWN, tool_calls=[call], name=HOSTILE), result], "note": {HOSTILE: HOSTILE}}


def _ask_hostile(_state: Hostile) -> Hostile:
    interrupt({"question": HOSTILE, HOSTILE: HOSTILE})
    raise ValueError(HOSTILE)


hostile = (
    StateGraph(Hostile)
    .add_node("attack", _attack)
    .add_node("ask", _ask_hostile)
    .add_edge(START, "attack")
    .add_edge("attack", "ask")
    .add_edge("ask", END)
    .compile()
)
"""Writes markup into every field that a page shows, asks with it, and fails with it."""


def _ask_for(question: Any, name: str) -> Any:
    return lambda _state: {"messages": [AIMessage(f"{name}: {interrupt(question)!r}")]}


_BOOKING = {
    "question": "Which room?",
    "schema": {
        "type": "object",
        "properties": {"beds": {"type": "integer", "title": "Beds"}, "view": {"enum": ["sea", "yard"]}},
        "required": ["beds"],
    },
}

booking = (
    StateGraph(MessagesState)
    .add_node("room", _ask_for(_BOOKING, "room"))
    .add_node("sure", _ask_for("Are you sure?", "sure"))
    .add_edge(START, "room")
    .add_edge(START, "sure")
    .compile()
)
"""Asks two questions at once, one of them with a schema."""


_WORDS = " ".join(f"word {number}" for number in range(1, 701))


async def _hurry(_state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
    model = OfflineChatModel(token_seconds=0.005)
    question = [HumanMessage(f"{_WORDS[:3900]} … word 700."), HumanMessage("What did I just say?")]
    return {"messages": [await model.ainvoke(question, config)]}


torrent = StateGraph(MessagesState).add_node("hurry", _hurry).add_edge(START, "hurry").add_edge("hurry", END).compile()
"""Writes 200 tokens a second."""
