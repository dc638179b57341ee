"""Recalls what the user likes, drafts a letter in a subgraph, asks for approval, and remembers the letter."""

from __future__ import annotations

import os
from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.types import interrupt
from typing_extensions import TypedDict


class Context(TypedDict, total=False):
    tone: str


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    likes: list[str]
    outline: str
    letter: str
    sent: bool


async def recall(state: State, config: RunnableConfig, *, store: BaseStore) -> State:
    found = await store.asearch((_user(config), "likes"), query=str(state["messages"][-1].content), limit=1)
    return {"likes": [each.value["text"] for each in found]}


async def outline(state: State, runtime: Runtime[Context]) -> State:
    tone = (runtime.context or {}).get("tone", "plain")
    return {"outline": f"a {tone} letter about {', '.join(state['likes']) or 'nothing'}"}


async def write(state: State) -> State:
    return {"letter": f"This is {state['outline']}. {os.environ['SIGNATURE']}"}


def review(state: State) -> dict[str, Any]:
    answer = interrupt({"question": "Send this?", "letter": state["letter"]})
    said = "It is sent." if answer["send"] else "It is not sent."
    return {"sent": answer["send"], "messages": [AIMessage(said)]}


async def remember(state: State, config: RunnableConfig, *, store: BaseStore) -> State:
    if state["sent"]:
        await store.aput((_user(config), "letters"), "latest", {"text": state["letter"]})
    return {}


def _user(config: RunnableConfig) -> str:
    return str(config["configurable"]["langgraph_auth_user_id"])


draft = StateGraph(State, context_schema=Context).add_node(outline).add_node(write)
draft.add_edge(START, "outline").add_edge("outline", "write").add_edge("write", END)

builder = StateGraph(State, context_schema=Context)
builder.add_node(recall).add_node("draft", draft.compile()).add_node(review).add_node(remember)
builder.add_edge(START, "recall").add_edge("recall", "draft").add_edge("draft", "review")
builder.add_edge("review", "remember").add_edge("remember", END)
graph = builder.compile(name="Letters")
