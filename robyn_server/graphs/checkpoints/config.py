"""Checkpoints as LangGraph names them, in a config, and as the API does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from robyn_server.graphs.errors import CheckpointNotFound

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

_CHECKPOINT_KEYS = ("checkpoint_id", "thread_id", "checkpoint_ns", "checkpoint_map")


def config_at(thread_id: UUID, checkpoint: Mapping[str, Any] | None = None) -> RunnableConfig:
    """The config that names a thread, or one checkpoint of it."""
    chosen = {key: value for key, value in (checkpoint or {}).items() if key in _CHECKPOINT_KEYS and value is not None}
    return {"configurable": {"checkpoint_ns": ""} | chosen | {"thread_id": str(thread_id)}}


async def ensure_checkpoint(saver: object, thread_id: UUID, checkpoint: Mapping[str, Any] | None) -> None:
    """Raises CheckpointNotFound if the root graph's checkpoint that is named does not exist."""
    from langgraph.checkpoint.base import BaseCheckpointSaver

    named = (checkpoint or {}).get("checkpoint_id")
    if named is None or (checkpoint or {}).get("checkpoint_ns") or not isinstance(saver, BaseCheckpointSaver):
        return
    if await saver.aget_tuple(config_at(thread_id, checkpoint)) is None:
        raise CheckpointNotFound(named)


def checkpoint_of(config: RunnableConfig | None) -> dict[str, Any] | None:
    if config is None:
        return None
    configurable = config.get("configurable", {})
    return {key: configurable[key] for key in _CHECKPOINT_KEYS if configurable.get(key) is not None}
