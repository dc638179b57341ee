"""Calls the factories of graphs.

A factory is a function, a coroutine function, or a context manager, sync or async, which stays open until the run has
ended. It may take the run's config, LangGraph's `ServerRuntime` (a parameter that is named `runtime`, or annotated so),
both, or nothing.
"""

from __future__ import annotations

import contextlib
import inspect
import typing
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.pregel import Pregel
    from langgraph.store.base import BaseStore

    from robyn_server.core.access.users import User

Reading: TypeAlias = Literal["threads.read", "assistants.read"]
MakeRuntime: TypeAlias = Callable[[Callable[..., Any]], Any]
"""Makes the runtime for a factory."""

_RUNTIME = "ServerRuntime"


def is_graph(source: Any) -> bool:
    """Whether the source is a compiled graph or a builder."""
    return hasattr(source, "astream") or hasattr(source, "compile")


def is_factory(source: Any) -> bool:
    return callable(source) and not is_graph(source)


@asynccontextmanager
async def opened(
    source: Any, config: RunnableConfig, make_runtime: MakeRuntime
) -> AsyncIterator[Pregel[Any, Any, Any, Any]]:
    """The compiled graph of `source`.

    Raises whatever a factory raises, and TypeError for a signature that it must not have.
    """
    made = _call(source, config, make_runtime) if is_factory(source) else source
    made = await made if inspect.isawaitable(made) else made
    if not is_graph(made) and hasattr(made, "__aenter__"):
        async with made as graph:
            yield _compiled(graph)
    elif not is_graph(made) and hasattr(made, "__enter__"):
        with made as graph:
            yield _compiled(graph)
    else:
        yield _compiled(made)


def run_runtime(store: BaseStore, context: Mapping[str, Any] | None, user: User | None = None) -> MakeRuntime:
    """The runtime of a run.

    `context` becomes what the factory's `ServerRuntime[…]` names. `user`: whom a handler authenticated.
    """

    def make(factory: Callable[..., Any]) -> Any:
        from langgraph_sdk.runtime import _ExecutionRuntime

        given = _typed(factory, context)
        return _ExecutionRuntime(access_context="threads.create_run", store=store, context=given, user=user)

    return make


def reading_runtime(reading: Reading) -> MakeRuntime:
    """The runtime of a graph that is built to be read. It has no store."""

    def make(_factory: Callable[..., Any]) -> Any:
        from langgraph_sdk.runtime import _ReadRuntime

        return _ReadRuntime(access_context=reading, store=_no_store())

    return make


def _call(factory: Callable[..., Any], config: RunnableConfig, make_runtime: MakeRuntime) -> Any:
    arguments, named = _arguments(factory, config, make_runtime)
    if inspect.isasyncgenfunction(factory):
        return asynccontextmanager(factory)(*arguments, **named)
    if inspect.isgeneratorfunction(factory):
        return contextlib.contextmanager(factory)(*arguments, **named)
    return factory(*arguments, **named)


def _arguments(
    factory: Callable[..., Any], config: RunnableConfig, make_runtime: MakeRuntime
) -> tuple[list[Any], dict[str, Any]]:
    arguments, named, is_config_given = list[Any](), dict[str, Any](), False
    for each in inspect.signature(factory).parameters.values():
        if each.kind in {each.VAR_POSITIONAL, each.VAR_KEYWORD}:
            continue
        if _is_runtime(each):
            value = make_runtime(factory)
        elif not is_config_given:
            value, is_config_given = config, True
        elif each.default is not each.empty:
            continue
        else:
            raise TypeError(f"the factory has a parameter {each.name!r}; it may take the config and the runtime")
        if each.kind is each.KEYWORD_ONLY:
            named[each.name] = value
        else:
            arguments.append(value)
    return arguments, named


def _is_runtime(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    text = annotation if isinstance(annotation, str) else repr(annotation)
    return parameter.name == "runtime" or _RUNTIME in text


def _typed(factory: Callable[..., Any], context: Mapping[str, Any] | None) -> Any:
    """The context as the type that the factory's annotation names, such as a dataclass; as it is where it names
    none."""
    wanted = _context_type(factory)
    if wanted is None or context is None:
        return context
    from pydantic import TypeAdapter

    return TypeAdapter(wanted).validate_python(dict(context))


def _context_type(factory: Callable[..., Any]) -> Any:
    try:
        hints = typing.get_type_hints(factory)
    except Exception:  # noqa: BLE001 - an annotation may name what only a type checker knows
        return None
    return next(
        (typing.get_args(each)[0] for each in hints.values() if _RUNTIME in repr(each) and typing.get_args(each)), None
    )


def _compiled(graph: Any) -> Pregel[Any, Any, Any, Any]:
    compiled: Pregel[Any, Any, Any, Any] = (
        graph.compile() if hasattr(graph, "compile") and not hasattr(graph, "astream") else graph
    )
    return compiled


def _no_store() -> BaseStore:
    from langgraph.store.base import BaseStore

    class NoStore(BaseStore):
        """Refuses every operation."""

        def batch(self, ops: Any) -> NoReturn:  # noqa: ARG002
            raise RuntimeError("A graph that is only read has no store; use it in a run.")

        async def abatch(self, ops: Any) -> NoReturn:
            self.batch(ops)

    return NoStore()
