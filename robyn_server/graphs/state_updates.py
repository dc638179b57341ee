"""Changes a thread's state as one of its nodes would have: its channels' reducers and the edges behind it, but not the
node itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from robyn_server.core.errors import AgenthallError, BadRequest

from .checkpoints.config import checkpoint_of, config_at, ensure_checkpoint

if TYPE_CHECKING:
    from langgraph.pregel import Pregel

_LONGEST_MESSAGE = 2_000


@dataclass(frozen=True, slots=True)
class StateUpdate:
    """`checkpoint`: the new one. `values`: the thread's latest ones, as JSON text. `interrupts`: the open ones by task.

    `is_waiting`: nodes are left to run, so that the next run goes on with them.
    """

    checkpoint: dict[str, Any]
    values: bytes
    interrupts: dict[str, Any]
    is_waiting: bool


@dataclass(frozen=True, slots=True)
class NodeUpdate:
    """Values, or a command {update, goto}, that `as_node` would have returned."""

    as_node: str
    values: Any = None
    command: Mapping[str, Any] | None = None


async def apply_supersteps(
    graph: Pregel[Any, Any, Any, Any],
    thread_id: UUID,
    supersteps: Sequence[Sequence[NodeUpdate]],
    *,
    metadata: Mapping[str, Any],
) -> StateUpdate:
    """Write a checkpoint for each superstep.

    Raises BadRequest for an update that the graph refuses, and StateTooLarge.
    """
    from langgraph.types import StateUpdate as GraphUpdate

    config = {**config_at(thread_id), "metadata": dict(metadata)}
    steps = [[GraphUpdate(_values(each), each.as_node) for each in step] for step in supersteps]
    with _refusals("supersteps"):
        written = await graph.abulk_update_state(config, steps)  # type: ignore[arg-type]
    return await _read(graph, thread_id, checkpoint_of(written) or {})


def _values(update: NodeUpdate) -> Any:
    from .commands import command_of

    return update.values if update.command is None else command_of(update.command)


async def update_state(
    graph: Pregel[Any, Any, Any, Any],
    thread_id: UUID,
    values: Any,
    *,
    as_node: str | None,
    checkpoint: Mapping[str, Any] | None,
    metadata: Mapping[str, Any],
) -> StateUpdate:
    """Raises BadRequest for an update that the graph refuses, CheckpointNotFound, and StateTooLarge."""
    await ensure_checkpoint(graph.checkpointer, thread_id, checkpoint)
    config = {**config_at(thread_id, checkpoint), "metadata": dict(metadata)}
    with _refusals("as_node" if as_node else "values"):
        written = await graph.aupdate_state(config, values, as_node=as_node)  # type: ignore[arg-type]
    return await _read(graph, thread_id, checkpoint_of(written) or {})


async def _read(graph: Pregel[Any, Any, Any, Any], thread_id: UUID, checkpoint: dict[str, Any]) -> StateUpdate:
    from .checkpoints.serialization import dumps

    latest = await graph.aget_state(config_at(thread_id))
    interrupts = {
        task.id: [{"id": each.id, "value": each.value} for each in task.interrupts]
        for task in latest.tasks
        if task.interrupts
    }
    text = await asyncio.to_thread(dumps, latest.values)
    return StateUpdate(checkpoint, text, interrupts, is_waiting=bool(latest.next))


@contextmanager
def _refusals(field: str) -> Iterator[None]:
    """Turn errors of an update into BadRequest: it runs reducers and conditional edges of the graph, which may raise
    anything."""
    try:
        yield
    except AgenthallError:
        raise
    except Exception as error:
        raise BadRequest(_reason(error), field=field) from error


def _reason(error: Exception) -> str:
    text = str(error)[:_LONGEST_MESSAGE]
    is_refusal = type(error).__module__.startswith("langgraph.")
    return text if is_refusal and text else f"{type(error).__name__}: {text}"
