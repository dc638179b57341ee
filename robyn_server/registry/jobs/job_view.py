"""A job as an instance gets it, the same over all transports."""

from __future__ import annotations

from typing import Any

from robyn_server.core.json import exact_json
from robyn_server.core.registry.jobs import JobNotice

_DEFAULTS: dict[str, Any] = {
    "input": {},
    "resume": None,
    "config": {},
    "context": {},
    "user": None,
    "stream_mode": [],
}


def render_job(offer: JobNotice) -> dict[str, Any]:
    """The members that its creator stored, and those of the server, which win.

    `idempotency_key` is the same for all attempts.
    """
    stored = {} if offer.input is None else exact_json.loads(offer.input)
    return {
        **_DEFAULTS,
        **stored,
        "job_id": offer.ref.job_id,
        "attempt": offer.ref.attempt,
        "idempotency_key": str(offer.ref.job_id),
        "agent_id": offer.agent_id,
        "run_id": offer.run_id,
        "thread_id": offer.thread_id,
        "deadline": offer.deadline,
        "accept_within_seconds": None if offer.accept_within is None else round(max(offer.accept_within, 0.0), 3),
    }
