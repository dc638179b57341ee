"""URLs at LangSmith to which a client sends feedback about a run without a key: `feedback_keys` of runs.

The event is the FeedbackStreamEvent of the JavaScript SDK (@langchain/langgraph-sdk, types.stream.ts).
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog

from robyn_server.concurrency.daemon_thread import finishes
from robyn_server.core.langsmith import is_langsmith_on

REQUEST_SECONDS = 5.0
"""How long a run waits for its URLs before it ends without them."""

_log = structlog.get_logger(__name__)


async def feedback_urls(run_id: UUID, keys: Sequence[str]) -> dict[str, str] | None:
    """A URL for each key, which LangSmith accepts for three hours.

    None without LangSmith, and when it does not answer in time. The log says why.
    """
    if not is_langsmith_on():
        return None
    urls: dict[str, str] = {}
    if not await finishes(lambda: urls.update(_request(run_id, keys)), REQUEST_SECONDS, "feedback urls"):
        _log.warning("LangSmith gave no URLs for feedback in time", run_id=str(run_id), seconds=REQUEST_SECONDS)
    return urls or None


def _request(run_id: UUID, keys: Sequence[str]) -> dict[str, str]:
    from langchain_core.tracers.langchain import get_client

    try:
        tokens = get_client().create_presigned_feedback_tokens(run_id, keys)
        return {key: token.url for key, token in zip(keys, tokens, strict=True)}
    except Exception as error:  # noqa: BLE001 - a fault of LangSmith never fails the run
        _log.warning("LangSmith gave no URLs for feedback", run_id=str(run_id), error=str(error))
        return {}
