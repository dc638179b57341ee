"""Graphs of messages that tests talk to. They need no model and no network."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt

from tools_agent.models.offline import offline_model


def search_law(query: str) -> str:
    """Search the law: statutes about rent."""
    if "forbidden" in query:
        raise ValueError("this law is secret")
    return f"§ 535 answers: {query}\n\x1b]0;a title\x07"


def _graph(node: Any, **options: Any) -> Any:
    return (
        StateGraph(MessagesState).add_node("say", node).add_edge(START, "say").add_edge("say", END).compile(**options)
    )


def _ask(_state: MessagesState) -> dict[str, Any]:
    city, sure = interrupt({"question": "Which city?", "hint": "a name"}), interrupt("Are you sure?")
    return {"messages": [AIMessage(f"{city!r}, {sure!r}")]}


def _fail(_state: MessagesState) -> dict[str, Any]:
    raise ValueError("this graph\nalways fails")


async def _never(_state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
    model = offline_model("offline:demo")
    await model.ainvoke("I begin", config)
    await asyncio.Event().wait()
    return {}


async def _wait(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
    model, message = offline_model("offline:demo"), state["messages"][-1]
    await model.ainvoke("begin", config)
    while not Path(str(message.content)).exists():  # noqa: ASYNC240
        await asyncio.sleep(0.02)
    return {"messages": [await model.ainvoke("end", config)]}


def _strange(_state: MessagesState) -> dict[str, Any]:
    return {"messages": [AIMessage("one\u2028two\x85three \x1b[31mred")]}


researcher = create_agent(offline_model("offline:demo"), tools=[search_law])
careful = create_agent(
    offline_model("offline:demo"),
    tools=[search_law],
    middleware=[HumanInTheLoopMiddleware(interrupt_on={"search_law": True})],
)
"""Asks before it calls its tool."""

asker = _graph(_ask)
"""Asks two questions, one after the other."""

failing = _graph(_fail)
endless = _graph(_never)
"""Says something and never ends."""

waiting = _graph(_wait)
"""Says something, waits until the file exists that the message names, and goes on."""

strange = _graph(_strange)
"""Says characters that some take for line ends, and an escape sequence."""

paused = _graph(lambda _: {"messages": [AIMessage("it went on")]}, interrupt_before=["say"])
"""Stops at a breakpoint."""

GRAPHS = ("researcher", "careful", "asker", "failing", "endless", "waiting", "strange", "paused")


async def _ask_back(_state: MessagesState) -> dict[str, list[AIMessage]]:
    return {"messages": [AIMessage(f"You said {interrupt('Which one?')}.")]}


asking_back = _graph(_ask_back)
"""Interrupts with a question, and repeats the answer."""
