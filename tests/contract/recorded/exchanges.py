"""Read the recorded exchanges: what LangGraph's own server answers, request by request.

A file of the folder `exchanges` is one conversation or several:

    == a title [not offered]       a conversation. Ids are known from here to its end.
    ++ <id> {...}                  a thread that exists before, perhaps with metadata
    let thread = {...}             a value that the lines below name as :thread
    -- a title [options]           an exchange
    > POST /threads {...}          the request, with its body
    > Prefer: return=minimal       a header of it
    < 200 {...}                    the answer of LangGraph's server: a status, and JSON, `text`, `events` or nothing
    < content-location: /threads/  a header of it
      values {...}                 an event of the answer, perhaps with a name for its id: @event1
    = 404 {...} | rule             the answer of this server where it is meant to differ, and the rule of that
    ~ [0].ttl {...} | rule         the member of the answer that is meant to differ; without a value: it is missing

Options: `begin` reads the answer while the next exchanges run. `drop N` closes the connection after N events.
`eventually` repeats the request until the answer is as recorded. `tail` wants events that are the end of the recorded
ones; `head` the beginning. `added`: was not recorded, and waits until a run is where it was in the recording.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

MISSING = object()
FOLDER = Path(__file__).with_name("exchanges")
_TITLE = re.compile(r"(?P<title>.*?)(?: \[(?P<options>[^]]*)\])?")


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    data: Any
    id: str | None = None


@dataclass(slots=True)
class Answer:
    """`body`: JSON, a list of Events, a text, or None. `rule`: why this server answers so."""

    status: int
    kind: str
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    rule: str | None = None


@dataclass(slots=True)
class Exchange:
    title: str
    options: dict[str, int]
    method: str = ""
    path: str = ""
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    recorded: Answer | None = None
    ours: Answer | None = None
    changes: list[tuple[str, Any, str]] = field(default_factory=list)
    """Paths, values and rules."""
    applied: set[str] = field(default_factory=set)
    """Rules for every answer that changed this one."""

    @property
    def expected(self) -> Answer:
        """The answer of this server."""
        answer = self.ours or self.recorded
        assert answer is not None, self.title
        return answer

    def rules(self) -> set[str]:
        """Why the answer of this server is not the recorded one. Known after it was compared."""
        return (
            self.applied
            | {rule for _, _, rule in self.changes}
            | ({self.ours.rule} if self.ours and self.ours.rule else set())
        )


@dataclass(slots=True)
class Conversation:
    """`threads`: the metadata of the threads that exist before, by their ids."""

    title: str
    is_offered: bool = True
    threads: dict[str, Any] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)


def read_conversations(path: Path) -> list[Conversation]:
    found: list[Conversation] = []
    values: dict[str, Any] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            _read_line(line, found, values)
        except Exception as error:
            raise ValueError(f"{path.name}, line {number}: {error!r}: {line[:200]}") from error
    return found


def _read_line(line: str, found: list[Conversation], values: dict[str, Any]) -> None:
    mark, _, rest = line.partition(" ")
    match mark:
        case "":
            if line:
                _add_event(found[-1].exchanges[-1], line.strip(), values)
        case "==":
            title, not_offered, _ = rest.partition(" [not offered]")
            found.append(Conversation(title, is_offered=not not_offered))
        case "++" | "let" | "--":
            _add_to_conversation(found[-1], mark, rest, values)
        case ">" | "<":
            _add_part(found[-1].exchanges[-1], mark, rest, values)
        case "=" | "~":
            _add_difference(found[-1].exchanges[-1], mark, rest, values)
        case _:
            raise ValueError("a line of no kind")


def _add_to_conversation(conversation: Conversation, mark: str, rest: str, values: dict[str, Any]) -> None:
    if mark == "++":
        thread, _, metadata = rest.partition(" ")
        conversation.threads[thread] = orjson.loads(metadata or "{}")
    elif mark == "let":
        name, _, value = rest.partition(" = ")
        values[name] = _expanded(orjson.loads(value), values)
    else:
        conversation.exchanges.append(_exchange(rest))


def _add_difference(exchange: Exchange, mark: str, rest: str, values: dict[str, Any]) -> None:
    answer, _, rule = rest.rpartition(" | ")
    if mark == "=":
        exchange.ours = _answer(answer, values, rule)
    else:
        path, _, value = answer.partition(" ")
        exchange.changes.append((path, _parsed(value, values) if value else MISSING, rule))


def _exchange(line: str) -> Exchange:
    found = _TITLE.fullmatch(line)
    assert found
    words = [option.split() for option in (found["options"] or "").split(",") if option]
    return Exchange(found["title"], {word[0]: int(word[1]) if len(word) > 1 else 1 for word in words})


def _add_part(exchange: Exchange, mark: str, rest: str, values: dict[str, Any]) -> None:
    name, colon, value = rest.partition(": ")
    if colon and re.fullmatch(r"[A-Za-z-]+", name):
        headers = exchange.headers if mark == ">" else exchange.expected.headers
        headers[name.lower()] = value
    elif mark == ">":
        exchange.method, _, target = rest.partition(" ")
        exchange.path, _, exchange.body = target.partition(" ")
    else:
        exchange.recorded = _answer(rest, values)


def _answer(text: str, values: dict[str, Any], rule: str | None = None) -> Answer:
    status, _, body = text.partition(" ")
    if body == "events":
        return Answer(int(status), "events", [], rule=rule)
    if body.startswith("text "):
        return Answer(int(status), "text", body.removeprefix("text "), rule=rule)
    return Answer(int(status), "json" if body else "none", _parsed(body, values) if body else None, rule=rule)


def _add_event(exchange: Exchange, line: str, values: dict[str, Any]) -> None:
    name, _, data = line.partition(" ")
    data, at, event_id = data.partition(" @")
    answer = exchange.ours if exchange.ours and exchange.ours.kind == "events" else exchange.recorded
    assert answer is not None
    answer.body.append(Event(name, _parsed(data, values), event_id if at else None))


def _parsed(text: str, values: dict[str, Any]) -> Any:
    return values[text[1:]] if re.fullmatch(r":[a-z_0-9]+", text) else _expanded(orjson.loads(text), values)


def _expanded(value: Any, values: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_expanded(each, values) for each in value]
    if isinstance(value, dict):
        return {name: _expanded(each, values) for name, each in value.items()}
    if isinstance(value, str) and value[:1] == ":" and value[1:] in values:
        return values[value[1:]]
    return value


def every_conversation() -> Iterator[tuple[str, Conversation]]:
    """Yield each conversation with the name of its file."""
    for path in sorted(FOLDER.glob("*.txt")):
        for conversation in read_conversations(path):
            yield path.stem, conversation
