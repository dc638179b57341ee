"""A graph whose steps have a side effect: each appends a line to a file when it begins, and one when it ends."""

from __future__ import annotations

import asyncio
import os
import time
from operator import add
from pathlib import Path
from typing import Annotated, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph

VARIABLE = "BENCHMARK_LEDGER"


class Work(TypedDict, total=False):
    steps: int
    delay: float
    done: Annotated[list[int], add]


def _write(config: RunnableConfig, step: int, what: str) -> None:
    """Append a line in one system call, so that lines of several processes do not mix."""
    run_id, attempt = config["configurable"]["run_id"], config["metadata"]["run_attempt"]
    line = f"{run_id} {attempt} {step} {what} {os.getpid()} {time.monotonic_ns()}\n"
    with Path(os.environ[VARIABLE]).open("ab", buffering=0) as ledger:
        ledger.write(line.encode())


async def _step(state: Work, config: RunnableConfig) -> Work:
    step = len(state.get("done", [])) + 1
    _write(config, step, "begins")
    await asyncio.sleep(state.get("delay", 0))
    _write(config, step, "ends")
    return {"done": [step]}


def _again(state: Work) -> str:
    return "step" if len(state["done"]) < state["steps"] else END


graph = StateGraph(Work).add_node("step", _step).add_edge(START, "step").add_conditional_edges("step", _again).compile()
