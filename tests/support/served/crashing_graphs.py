"""Graphs that end their process, and one that keeps what it was told in a global of its module."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import TypedDict

from langgraph.graph import END, START, StateGraph


class Crash(TypedDict, total=False):
    how: str


async def _crash(state: Crash) -> Crash:
    match state["how"]:
        case "exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "memory":  # as the kernel does it when there is none left
            os.kill(os.getpid(), signal.SIGKILL)
    return {}


crashing = StateGraph(Crash).add_node("crash", _crash).add_edge(START, "crash").add_edge("crash", END).compile()
"""Ends its process in the way of `how`."""


class Told(TypedDict, total=False):
    secret: str
    known: list[str]


_secrets: list[str] = []


async def _remember(state: Told) -> Told:
    _secrets.append(state["secret"])
    return {"known": list(_secrets)}


remembering = StateGraph(Told).add_node("tell", _remember).add_edge(START, "tell").add_edge("tell", END).compile()
"""Answers with all that this process was ever told."""
