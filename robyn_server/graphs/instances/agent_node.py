"""The node `agent`: it makes a job of the state, follows it, and turns its end into an update of the state."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from robyn_server.core.registry.jobs import FollowedJob, JobState, NewJob
from robyn_server.graphs.checkpoints.serialization import dumps
from robyn_server.graphs.errors import ReportedError

from .job_stream import JobStream, read_message
from .options import AgentOptions, state_properties
from .runner import job_runner, trace_headers

ANSWERS = "agenthall_answers"
"""The channel of answers to an instance's interrupts. It is empty but in the step after they were given."""

_STREAM_MODES = ["messages", "values", "updates", "custom"]
_CHECKPOINTER = "__pregel_checkpointer"
_INTERNAL = ("__", "agenthall_", "langgraph_", "checkpoint_")


async def run_agent(state: dict[str, Any], config: RunnableConfig, runtime: Runtime[Any]) -> Any:
    """Give the state to an instance.

    Raises ReportedError with the error of the job: that of its handler, `no_instance`, `circuit_open`, `instance_lost`
    or `deadline_exceeded`.
    """
    options = AgentOptions.of(config.get("configurable") or {})
    job = _new_job(state, config, runtime, options)
    stream = JobStream(job.job_id, config)
    async for followed in job_runner().follow(job):
        stream.forward(followed)
        if followed.state.is_ended and not followed.has_more:
            return _update(followed, stream, allowed=_properties(config))
    raise ReportedError("job_lost", "The job was not followed to its end.")


def _new_job(state: dict[str, Any], config: RunnableConfig, runtime: Runtime[Any], options: AgentOptions) -> NewJob:
    configurable: Mapping[str, Any] = config.get("configurable") or {}
    answers = state.get(ANSWERS) or []
    given = {key: value for key, value in state.items() if key != ANSWERS}
    is_kept = configurable.get(_CHECKPOINTER) is not None
    return NewJob(
        _job_id(config),
        options.organization_id,
        options.agent_id,
        {
            "input": json.loads(dumps({"messages": [], **given})),
            "resume": _resume(answers),
            "config": _public_config(config),
            "context": json.loads(dumps(runtime.context or {})),
            "user": {"identity": configurable.get("langgraph_auth_user_id") or configurable.get("user_id")},
            "stream_mode": _STREAM_MODES,
            **trace_headers(),
        },
        thread_id=UUID(configurable["thread_id"]) if is_kept else None,
        run_id=UUID(configurable["run_id"]),
        conditions=options.conditions,
        policy=options.policy,
    )


def _job_id(config: RunnableConfig) -> UUID:
    """The same for every attempt of the run, so that another worker goes on with the same job.

    The id of a task would not do: it differs when a worker died before the run's first checkpoint was stored.
    """
    metadata = config["metadata"]
    namespace, _, _ = str(metadata["langgraph_checkpoint_ns"]).rpartition(":")
    run_id = (config.get("configurable") or {})["run_id"]
    return uuid5(UUID(run_id), f"{namespace} {metadata['langgraph_step']}")


def _resume(answers: Sequence[Mapping[str, Any]]) -> Any:
    """The answer to the only interrupt; of several, the answers by the interrupts' ids."""
    if len(answers) == 1:
        return answers[0]["value"]
    return {str(each["id"]): each["value"] for each in answers} or None


def _public_config(config: RunnableConfig) -> dict[str, Any]:
    """The config of the run without the server's own keys."""
    found: dict[str, Any] = {}
    for name in ("configurable", "metadata"):
        members: Mapping[str, Any] = config.get(name) or {}  # type: ignore[assignment]
        found[name] = {key: value for key, value in members.items() if not key.startswith(_INTERNAL)}
    return dict(json.loads(dumps(found)))


def _properties(config: RunnableConfig) -> set[str]:
    return {"messages", *state_properties(config.get("configurable") or {})}


def _update(job: FollowedJob, stream: JobStream, allowed: set[str]) -> Any:
    if job.state is JobState.CANCELLED:
        raise ReportedError("job_cancelled", "The job was cancelled.")
    if job.state is not JobState.SUCCEEDED:
        error: Mapping[str, Any] = job.error or {}
        more = {key: value for key, value in error.items() if key not in {"error", "message"}}
        raise ReportedError(str(error.get("error")), str(error.get("message")), **more)
    update = _state_update(job.result, stream)
    if unknown := sorted(update.keys() - allowed):
        raise ReportedError(
            "result_invalid", f"The result has the member '{unknown[0]}', which the agent's state schema does not name."
        )
    if job.interrupts:
        return Command(update=update, goto=[Send("ask", _asked(each)) for each in job.interrupts])
    return update


def _asked(given: Any) -> dict[str, Any]:
    return {"id": given.get("id"), "value": given.get("value")} if isinstance(given, Mapping) else {"value": given}


def _state_update(result: Any, stream: JobStream) -> dict[str, Any]:
    """The update that a result is: an object as it is, messages, a text, or nothing: then the text that was streamed.

    Raises ReportedError.
    """
    if result is None:
        return {"messages": [AIMessage(stream.text, id=stream.message_id)]} if stream.text else {}
    if isinstance(result, str):
        return {"messages": [AIMessage(result, id=stream.message_id)]}
    update = {"messages": result} if isinstance(result, list) else dict(result)
    if "messages" in update:
        update["messages"] = _messages(update["messages"], stream)
    return update


def _messages(given: Any, stream: JobStream) -> list[BaseMessage]:
    try:
        messages = [read_message(each) for each in (given if isinstance(given, list) else [given])]
    except (ValueError, TypeError) as error:
        raise ReportedError("result_invalid", f"messages: {error}") from None
    last = messages[-1] if messages else None
    if isinstance(last, AIMessage) and last.id is None and stream.text:
        last.id = stream.message_id  # that of the tokens, so that clients show one message
    return messages
