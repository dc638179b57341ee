"""A graph that emits many small events and does nothing else, so that their way to the client is what a run costs."""

from __future__ import annotations

import asyncio
from typing import TypedDict

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph


class Talk(TypedDict, total=False):
    events: int
    pause: float
    text: str


async def _talk(state: Talk) -> Talk:
    write = get_stream_writer()
    for number in range(state["events"]):
        write({"number": number, "text": state["text"]})
        await asyncio.sleep(state.get("pause", 0))
    return {}


chatty = StateGraph(Talk).add_node("talk", _talk).add_edge(START, "talk").add_edge("talk", END).compile()
"""Emits `events` custom events with `text`, one every `pause` seconds."""
