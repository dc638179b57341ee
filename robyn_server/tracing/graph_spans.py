"""Spans inside a graph: agents, nodes, model calls, tools and retrievers, as LangChain's callbacks report them.

Rules
  1. A chain of LangChain has a span if it is a graph or a node of one. A subgraph shows itself by its first node.
  2. A handler that fails would cost the run its other callbacks, so nothing here trusts what it is given.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from opentelemetry.trace import SpanKind, Tracer

from robyn_server.core.runs import ClaimedRun

from .message_content import input_messages, json_text, output_messages
from .model_attributes import model_name, request_attributes, response_attributes
from .step_spans import Step, StepSpans

_UNNAMED = "LangGraph"
_LARGEST_NAME = 128


class GraphSpans(BaseCallbackHandler):
    """The handler of one attempt of a run. `names`: attributes by which its agents are found."""

    run_inline = True  # on the loop, in the context of the step

    def __init__(self, tracer: Tracer, run: ClaimedRun, names: Mapping[str, Any], *, captures_content: bool) -> None:
        self._steps = StepSpans(tracer)
        self._run = run
        self._names = names
        self._captures_content = captures_content
        self._of_run = {"gen_ai.conversation.id": str(run.thread_id), "agenthall.run.id": str(run.run_id)}

    def close(self) -> None:
        self._steps.close_all()

    # graphs and nodes

    def on_chain_start(
        self,
        serialized: Any,  # noqa: ARG002
        inputs: Any,  # noqa: ARG002
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        given = metadata or {}
        step = self._steps.add(run_id, parent_run_id, str(more.get("name") or ""))
        if self._steps.find(parent_run_id) is None:
            self._open_agent(step, self._run.assistant_name or self._run.graph_id)
        elif _is_node(step.name, tags, given):
            self._open_subgraph(parent_run_id)
            attributes = {"agenthall.node": step.name, "agenthall.step": given.get("langgraph_step", 0)}
            self._steps.open(step, f"node {step.name}", SpanKind.INTERNAL, attributes)
        elif step.name == _UNNAMED and isinstance(given.get("langgraph_node"), str):
            step.name = given["langgraph_node"]

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:  # noqa: ARG002
        self._steps.close(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._steps.fail(run_id, error)

    # models

    def on_chat_model_start(
        self,
        serialized: Any,  # noqa: ARG002
        messages: Sequence[Sequence[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        attributes = self._request("chat", metadata, more)
        if self._captures_content:
            attributes["gen_ai.input.messages"] = input_messages(messages)
        self._begin(run_id, parent_run_id, _titled("chat", model_name(metadata, more)), SpanKind.CLIENT, attributes)

    def on_llm_start(
        self,
        serialized: Any,  # noqa: ARG002
        prompts: Sequence[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        attributes = self._request("text_completion", metadata, more)
        if self._captures_content:
            attributes["gen_ai.input.messages"] = json_text(list(prompts))
        name = _titled("text_completion", model_name(metadata, more))
        self._begin(run_id, parent_run_id, name, SpanKind.CLIENT, attributes)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **_: Any) -> None:  # noqa: ARG002
        step = self._steps.find(run_id)
        if step is None or step.span is None or step.is_streaming:
            return
        step.is_streaming = True
        seconds = (time.time_ns() - step.began) / 1e9
        step.span.set_attribute("gen_ai.request.stream", True)
        step.span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)

    def on_llm_end(self, response: Any, *, run_id: UUID, **_: Any) -> None:
        attributes = response_attributes(response)
        if self._captures_content:
            attributes["gen_ai.output.messages"] = output_messages(response)
        self._steps.close(run_id, attributes)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._steps.fail(run_id, error)

    # tools and retrievers

    def on_tool_start(
        self,
        serialized: Mapping[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        name = str(more.get("name") or (serialized or {}).get("name") or "")
        attributes = self._of_run | {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": "function",
        }
        if call_id := more.get("tool_call_id"):
            attributes["gen_ai.tool.call.id"] = str(call_id)
        server = (metadata or {}).get("mcp_server")
        if server:
            attributes |= {"mcp.method.name": "tools/call", "agenthall.mcp_server": str(server)}
        if self._captures_content:
            attributes["gen_ai.tool.call.arguments"] = json_text(more.get("inputs") or input_str)
        kind = SpanKind.CLIENT if server else SpanKind.INTERNAL
        self._begin(run_id, parent_run_id, _titled("execute_tool", name), kind, attributes)

    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        attributes: dict[str, Any] = {}
        if getattr(output, "status", None) == "error":
            attributes["error.type"] = "tool_error"
        if self._captures_content:
            attributes["gen_ai.tool.call.result"] = json_text(getattr(output, "content", output))
        self._steps.close(run_id, attributes)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """The text of a tool's error is what the tool has answered, or repeats its arguments."""
        self._steps.fail(run_id, error, with_text=self._captures_content)

    def on_retriever_start(
        self,
        serialized: Mapping[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **more: Any,
    ) -> None:
        name = str(more.get("name") or (serialized or {}).get("name") or "")
        attributes = self._of_run | {"gen_ai.operation.name": "retrieval", "gen_ai.data_source.id": name}
        if self._captures_content:
            attributes["gen_ai.retrieval.query.text"] = query
        self._begin(run_id, parent_run_id, _titled("retrieval", name), SpanKind.CLIENT, attributes)

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **_: Any) -> None:  # noqa: ARG002
        self._steps.close(run_id)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._steps.fail(run_id, error)

    # spans

    def _request(self, operation: str, metadata: Mapping[str, Any] | None, more: Mapping[str, Any]) -> dict[str, Any]:
        return self._of_run | {"gen_ai.operation.name": operation} | request_attributes(metadata, more)

    def _begin(
        self, run_id: UUID, parent_id: UUID | None, name: str, kind: SpanKind, attributes: dict[str, Any]
    ) -> None:
        self._steps.open(self._steps.add(run_id, parent_id, name), name, kind, attributes)

    def _open_agent(self, step: Step, name: str) -> None:
        attributes = {
            **self._names,
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": name,
            "gen_ai.agent.id": str(self._run.assistant_id),
            "gen_ai.agent.version": str(self._run.assistant_version),
            "gen_ai.conversation.id": str(self._run.thread_id),
        }
        self._steps.open(step, _titled("invoke_agent", name), SpanKind.INTERNAL, attributes)

    def _open_subgraph(self, run_id: UUID | None) -> None:
        """Rule 1. Its span began when the chain did."""
        step = self._steps.find(run_id)
        if step is not None and step.span is None:
            attributes = self._of_run | {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": step.name}
            self._steps.open_late(step, _titled("invoke_agent", step.name), SpanKind.INTERNAL, attributes)


def _is_node(name: str, tags: Sequence[str] | None, metadata: Mapping[str, Any]) -> bool:
    """Whether a chain is a node of a graph; conditional edges and the parts of a node are not."""
    return metadata.get("langgraph_node") == name and any(tag.startswith("graph:step:") for tag in tags or ())


def _titled(operation: str, name: str) -> str:
    return f"{operation} {name[:_LARGEST_NAME]}".strip()
