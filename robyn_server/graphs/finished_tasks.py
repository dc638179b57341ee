"""Keep the results of tasks that had finished when a run was stopped.

LangGraph stores the writes of a finished task beside the checkpoint, until all tasks of the step have finished. An
input drops the unfinished step with these writes. So the result of a tool that ran disappears from the conversation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from langgraph.checkpoint.base import WRITES_IDX_MAP
from langgraph.constants import END

from robyn_server.core.errors import AgenthallError

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.pregel import Pregel

_log = structlog.get_logger(__name__)


async def keep_finished_tasks(
    graph: Pregel[Any, Any, Any, Any], saver: BaseCheckpointSaver[Any], thread_id: UUID
) -> None:
    """Put the writes of finished tasks into the thread's state, and drop the unfinished ones.

    Writes that the state refuses are dropped: they are why the run failed.
    """
    thread: RunnableConfig = {"configurable": {"thread_id": str(thread_id), "checkpoint_ns": ""}}
    latest = await saver.aget_tuple(thread)
    if latest is None or not any(channel not in WRITES_IDX_MAP for _, channel, _ in latest.pending_writes or ()):
        return
    try:
        await graph.aupdate_state(thread, None, as_node=END)
    except AgenthallError:
        raise
    except Exception as error:  # noqa: BLE001 - a reducer may raise anything
        _log.info("the results of a stopped run are dropped", thread_id=str(thread_id), reason=repr(error))
