"""The questions of an interrupted run, and the command that resumes it with the answers.

A graph asks with `interrupt(value)`. The value is text, an object with a text under `question`, a request of
LangChain's HumanInTheLoopMiddleware (`action_requests`), or any other JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

_YES = frozenset({"", "y", "yes", "ok", "approve"})


@dataclass(frozen=True, slots=True)
class Question:
    """`interrupt_id`: the interrupt that it belongs to. `approves`: the answer approves or rejects a tool call."""

    interrupt_id: str
    text: str
    approves: bool = False

    def parse(self, answer: str) -> Any:
        """Return the value of an answer: JSON if it is JSON, else the text; for a tool call, the middleware's
        decision."""
        if not self.approves:
            try:
                return orjson.loads(answer)
            except orjson.JSONDecodeError:
                return answer
        if answer.strip().casefold() in _YES:
            return {"type": "approve"}
        message = {} if answer.strip().casefold() in {"n", "no", "reject"} else {"message": answer}
        return {"type": "reject", **message}


def questions(interrupts: Mapping[str, Any]) -> list[Question]:
    """Return the questions of a thread's `interrupts`, which are lists by task."""
    return [
        question for task in interrupts.values() for each in task for question in _questions(each["id"], each["value"])
    ]


def resume(asked: Sequence[Question], answers: Sequence[Any]) -> dict[str, Any]:
    """Return the `resume` of a command: the answers by interrupt."""
    resumed: dict[str, Any] = {}
    for question, answer in zip(asked, answers, strict=True):
        if question.approves:
            resumed.setdefault(question.interrupt_id, {"decisions": []})["decisions"].append(answer)
        else:
            resumed[question.interrupt_id] = answer
    return resumed


def _questions(interrupt_id: str, value: Any) -> list[Question]:
    requests = value.get("action_requests") if isinstance(value, dict) else None
    if isinstance(requests, list) and requests and all(isinstance(each, dict) for each in requests):
        return [Question(interrupt_id, _request(each), approves=True) for each in requests]
    return [Question(interrupt_id, _asked(value))]


def _request(request: Mapping[str, Any]) -> str:
    arguments = request.get("args", request.get("arguments"))
    return f"{request.get('name')}({_json(arguments)}): Enter approves; anything else rejects, and is the reason"


def _asked(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(value.get("question"), str):
        rest = {name: each for name, each in value.items() if name != "question"}
        return f"{value['question']} {_json(rest) if rest else ''}".rstrip()
    return _json(value)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
