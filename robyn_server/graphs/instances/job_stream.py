"""Passes the events of a job on as if the graph had made them, and keeps the text that was streamed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, convert_to_messages
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph.message import push_message

from robyn_server.core.registry.jobs import FollowedJob, JobEvent

_STREAM = "__pregel_stream"
"""Key of `configurable` under which LangGraph keeps the stream of subgraphs, as RemoteGraph uses it."""


class JobStream:
    """The stream of one job. Each attempt of the job has a message of its own, so that a client does not join two
    answers. So has each attempt of the run, because it streams the job from its beginning.
    """

    def __init__(self, job_id: UUID, config: RunnableConfig) -> None:
        self._job_id = job_id
        self._config = config
        self._run_attempt = config["metadata"].get("run_attempt", 1)
        self._attempt = 1
        self._tokens: list[str] = []

    def forward(self, job: FollowedJob) -> None:
        for event in job.events:
            if event.attempt != self._attempt:
                self._begin_attempt(event.attempt)
            self._forward(event)

    @property
    def text(self) -> str:
        """The tokens of the last attempt."""
        return "".join(self._tokens)

    @property
    def message_id(self) -> str:
        """The id of the message that the tokens of these attempts belong to."""
        return str(uuid5(self._job_id, f"message {self._attempt} {self._run_attempt}"))

    def _begin_attempt(self, attempt: int) -> None:
        self._attempt = attempt
        self._tokens.clear()
        get_stream_writer()({"type": "job_attempt", "job_id": str(self._job_id), "attempt": attempt})

    def _forward(self, event: JobEvent) -> None:
        data = json.loads(event.data)
        if event.event == "token":
            self._tokens.append(str(data))
            push_message(AIMessageChunk(content=str(data), id=self.message_id), state_key=None)
        elif event.event == "messages":
            self._forward_message(data[0] if isinstance(data, list) and data else data)
        elif event.event == "custom":
            get_stream_writer()(data)
        else:
            self._forward_of_subgraph(event.event, data)

    def _forward_message(self, data: Any) -> None:
        message = read_message(data)
        if message.id is None:
            message.id = self.message_id
        push_message(message, state_key=None)

    def _forward_of_subgraph(self, mode: str, data: Any) -> None:
        """Values and updates of the instance's own graph, which are not those of this one."""
        stream = (self._config.get("configurable") or {}).get(_STREAM)
        namespace = tuple(str(self._config["metadata"]["langgraph_checkpoint_ns"]).split("|"))
        if stream is not None and mode in stream.modes:
            stream((namespace, mode, data))


def read_message(data: Any) -> BaseMessage:
    """A message, or a chunk of one, from its JSON. Raises ValueError."""
    if isinstance(data, Mapping) and data.get("type") == "AIMessageChunk":
        return AIMessageChunk(**{key: value for key, value in data.items() if key != "type"})
    if isinstance(data, str):
        return AIMessage(data)
    try:
        return convert_to_messages([data])[0]
    except NotImplementedError as error:
        raise ValueError(str(error)) from None
