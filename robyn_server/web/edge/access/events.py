"""Events: the questions about a request that handlers of a project answer. Each is a resource, an action, and a value
that they may change.

A changed member of the value is executed: it goes back into the request's body, query or metadata, and is validated as
the client's was. A member that cannot be changed, such as `thread_id`, must stay as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError

from robyn_server.core.access.grants import Conditions
from robyn_server.core.ids import parse_uuid
from robyn_server.core.json.json_terms import json_paths
from robyn_server.core.store.items import check_namespace
from robyn_server.web.http.messages import Request
from robyn_server.web.routes.store import item_name
from robyn_server.web.schemas.runs import RunBatch

Value = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """A request with its parsed body. `assistants`: the ids of the assistants that it names. `index`: of the run in a
    batch."""

    request: Request
    body: Any
    assistants: Mapping[str, UUID]
    index: int | None = None

    @property
    def part(self) -> Any:
        """The body of the run in a batch, else the whole body."""
        return self.body.root[self.index] if self.index is not None else self.body

    def with_changes(self, changes: Mapping[str, Any]) -> Subject:
        """The subject with other fields in its body. Raises ValueError for values that a client may not send either."""
        changed = changed_body(self.part, changes)
        if self.index is None:
            return replace(self, body=changed)
        runs = list(self.body.root)
        runs[self.index] = changed
        return replace(self, body=RunBatch.model_construct(root=runs))


def changed_body(body: BaseModel, changes: Mapping[str, Any]) -> BaseModel:
    """Validate the body with `changes`. Raises ValueError."""
    unknown = sorted(changes.keys() - type(body).model_fields.keys())
    if unknown:
        raise ValueError(f"the handler set {unknown[0]!r}, which this request does not have")
    given = body.model_dump(exclude_unset=True) | dict(changes)
    try:
        return type(body).model_validate(given)
    except ValidationError as error:
        where, first = json_paths(error.errors(include_url=False, include_context=False, include_input=False), given)[0]
        raise ValueError(f"the handler changed the request's {where} to what is not valid: {first['msg']}") from None


_OF_RUNS = {each: each for each in ("metadata", "multitask_strategy", "if_not_exists", "after_seconds")}


def always(_subject: Subject) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`path`: parameters of the path that the value has. `fields`: members of the value, each with the field of the
    body that it is and changes. `shown`: fields that it only is. `grant`: the part of the grants that the handler's
    filter becomes.
    """

    resource: str
    action: str
    path: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    grant: str | None = None
    when: Callable[[Subject], bool] = always

    @property
    def granted(self) -> str:
        return self.grant or self.resource

    def value(self, subject: Subject) -> Value:
        """The value for the handler. Raises Invalid for a malformed id."""
        given = {name: _parameter(subject, name) for name in self.path}
        if subject.part is not None:
            body = subject.part.model_dump(mode="python")
            given |= {name: body.get(source) for name, source in self.fields.items()}
            given |= {name: body.get(name) for name in self.shown}
        return given | {"metadata": given.get("metadata") or {}} if "metadata" in self.fields else given

    def apply(self, subject: Subject, before: Value, after: Value) -> Subject:
        """The subject with what the handler changed. Raises ValueError for a change that cannot be executed."""
        changed = _changed(before, after)
        refused = sorted(changed - self.fields.keys())
        if refused:
            raise ValueError(
                f"the handler changed value[{refused[0]!r}] of {self.resource}.{self.action}, which cannot be changed"
            )
        return subject.with_changes({self.fields[name]: after.get(name) for name in changed}) if changed else subject

    def conditions(self, found: Conditions) -> Conditions:
        """The conditions that are granted for those that the handler set."""
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent(Event):
    """A run is created. The value is that of LangGraph: the run's arguments are in `kwargs`."""

    fields: Mapping[str, str] = field(default_factory=lambda: _OF_RUNS)

    arguments: tuple[str, ...] = (
        "input",
        "command",
        "config",
        "context",
        "checkpoint",
        "interrupt_before",
        "interrupt_after",
    )

    def value(self, subject: Subject) -> Value:
        body = subject.part.model_dump(mode="python")
        strategy = body.get("multitask_strategy") or "enqueue"
        return {
            "assistant_id": subject.assistants[subject.part.assistant_id],
            "thread_id": _parameter(subject, "thread_id"),
            "run_id": None,
            "status": "pending",
            "metadata": body.get("metadata") or {},
            "prevent_insert_if_inflight": strategy == "reject",
            "multitask_strategy": strategy,
            "if_not_exists": body.get("if_not_exists") or "reject",
            "after_seconds": body.get("after_seconds") or 0,
            "kwargs": {name: body.get(name) for name in self.arguments},
        }

    def apply(self, subject: Subject, before: Value, after: Value) -> Subject:
        arguments = after.get("kwargs")
        if not isinstance(arguments, dict):
            raise ValueError("the handler changed value['kwargs'] to what is no dict")  # noqa: TRY004
        changed = {name: arguments.get(name) for name in _changed(before["kwargs"], arguments)}
        unknown = sorted(changed.keys() - set(self.arguments) | arguments.keys() - set(self.arguments))
        if unknown:
            raise ValueError(f"the handler set value['kwargs'][{unknown[0]!r}], which is no argument of a run")
        moved = subject.with_changes(changed) if changed else subject
        return Event.apply(self, moved, before, {**after, "kwargs": before["kwargs"]})


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantOfRunEvent(Event):
    """The assistant of a run is read. A filter does not hide the default assistants of graphs from runs."""

    def value(self, subject: Subject) -> Value:
        return {"assistant_id": subject.assistants[subject.part.assistant_id]}

    def conditions(self, found: Conditions) -> Conditions:
        return tuple(replace(each, defaults=True) for each in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyEvent(Event):
    """A copy of a thread is created. The metadata that the handler sets is merged into that of the copy."""

    fields: Mapping[str, str] = field(default_factory=lambda: {"metadata": "metadata"})

    def value(self, subject: Subject) -> Value:  # noqa: ARG002
        return {"metadata": {}, "if_exists": "raise"}

    def apply(self, subject: Subject, before: Value, after: Value) -> Subject:
        metadata = after.get("metadata") or {}
        Event.apply(self, subject, before, {**after, "metadata": before["metadata"]})
        if not isinstance(metadata, dict):
            raise ValueError("the handler changed value['metadata'] to what is no dict")  # noqa: TRY004
        return replace(subject, request=replace(subject.request, metadata=metadata))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreEvent(Event):
    """Items of the store. In the value, a namespace is a tuple of labels."""

    def value(self, subject: Subject) -> Value:
        given = Event.value(self, subject)
        return {**given, "namespace": tuple(given.get("namespace") or ())}

    def apply(self, subject: Subject, before: Value, after: Value) -> Subject:
        return Event.apply(self, subject, before, {**after, "namespace": _namespace(after)})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreGetEvent(Event):
    """An item of the store that the query names."""

    fields: Mapping[str, str] = field(default_factory=lambda: {"namespace": "namespace", "key": "key"})

    def value(self, subject: Subject) -> Value:
        labels, key = item_name(subject.request.query)
        return {"namespace": tuple(labels), "key": key}

    def apply(self, subject: Subject, before: Value, after: Value) -> Subject:  # noqa: ARG002
        namespace, key = _namespace(after), after.get("key")
        if not isinstance(key, str):
            raise ValueError("the handler changed value['key'] to what is no text")  # noqa: TRY004
        query = subject.request.query.replaced(namespace=[".".join(namespace)], key=[key])
        return replace(subject, request=replace(subject.request, query=query))


def _namespace(value: Value) -> tuple[str, ...]:
    """The namespace that a handler left. Raises ValueError, and Invalid for a label that the store does not take.

    In a query the labels are joined by periods, so a label with a period would name another namespace.
    """
    labels = value.get("namespace") or ()
    if not isinstance(labels, list | tuple):
        raise ValueError("the handler changed value['namespace'] to what is no tuple")  # noqa: TRY004
    return check_namespace(labels, may_be_empty=True)


def _parameter(subject: Subject, name: str) -> Any:
    text = subject.request.path_params.get(name)
    if text is None:
        return None
    return subject.assistants[text] if name == "assistant_id" else parse_uuid(text, name.replace("_id", " ID"))


def _changed(before: Value, after: Value) -> set[str]:
    """Members of `before` that are others in `after`.

    Members that a handler adds, such as `metadata` to a read, mean nothing.
    """
    return {name for name, value in before.items() if name not in after or after[name] != value}
