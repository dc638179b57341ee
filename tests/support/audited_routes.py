"""Routes that change something: those that the audit trail records, and why it does not record the others."""

from __future__ import annotations

AUDITED = {
    "POST /assistants": "assistant.create",
    "PATCH /assistants/{assistant_id}": "assistant.update",
    "POST /assistants/{assistant_id}/latest": "assistant.update",
    "DELETE /assistants/{assistant_id}": "assistant.delete",
    "DELETE /threads/{thread_id}": "thread.delete",
    "POST /threads/prune": "thread.delete",
    "PUT /agents/manifests/{agent_id}": "manifest.create",
    "PATCH /agents/manifests/{agent_id}": "manifest.update",
    "DELETE /agents/manifests/{agent_id}": "manifest.delete",
    "PUT /agents/configurations/{agent_id}": "configuration.create",
    "PATCH /agents/configurations/{agent_id}": "configuration.update",
    "DELETE /agents/configurations/{agent_id}": "configuration.delete",
    "POST /agents/instances/{registration_id}/cordon": "instance.cordon",
    "POST /agents/instances/{registration_id}/uncordon": "instance.uncordon",
    "POST /agents/instances/{registration_id}/drain": "instance.drain",
    "DELETE /agents/instances/{registration_id}": "instance.deregister",
    "POST /agents/jobs/{job_id}/cancel": "job.cancel",
    "DELETE /agents/brakes/{agent_id}": "brake.release",
    "POST /keys": "api_key.create",
    "POST /keys/{prefix}/rotate": "api_key.rotate",
    "DELETE /keys/{prefix}": "api_key.revoke",
}

_READ = "it only reads"
_RUN = "runs are work, not administration: the run itself says whose it is"
_OWN = "a conversation of its owner's; only its deletion is recorded"
_STORE = "items are data that graphs and users write all the time"
_INSTANCE = "the instance's program writes it all the time"
_CONNECTION = "a user's own connection, as a conversation is"
NOT_AUDITED = {
    "POST /connections": _CONNECTION,
    "POST /connections/callback": _CONNECTION,
    "DELETE /connections/{connection_id}": _CONNECTION,
    "POST /assistants/search": _READ,
    "POST /assistants/count": _READ,
    "POST /assistants/{assistant_id}/versions": _READ,
    "POST /threads": _OWN,
    "POST /threads/search": _READ,
    "POST /threads/count": _READ,
    "POST /threads/{thread_id}/copy": _OWN,
    "PATCH /threads/{thread_id}": _OWN,
    "POST /threads/{thread_id}/state": _OWN,
    "POST /threads/{thread_id}/state/checkpoint": _READ,
    "POST /threads/{thread_id}/history": _READ,
    "POST /threads/{thread_id}/runs": _RUN,
    "POST /threads/{thread_id}/runs/stream": _RUN,
    "POST /threads/{thread_id}/runs/wait": _RUN,
    "POST /threads/{thread_id}/runs/{run_id}/cancel": _RUN,
    "DELETE /threads/{thread_id}/runs/{run_id}": _RUN,
    "POST /runs": _RUN,
    "POST /runs/batch": _RUN,
    "POST /runs/cancel": _RUN,
    "POST /runs/stream": _RUN,
    "POST /runs/wait": _RUN,
    "PUT /store/items": _STORE,
    "DELETE /store/items": _STORE,
    "POST /store/items/search": _READ,
    "POST /store/namespaces": _READ,
    "POST /agents/sync": "the sync writes its own entries, as the process that syncs",
    "POST /agents/instances": _INSTANCE,
    "PATCH /agents/instances/{registration_id}": _INSTANCE,
    "POST /agents/instances/{registration_id}/heartbeat": _INSTANCE,
    "POST /agents/instances/{registration_id}/jobs/claim": _INSTANCE,
    "POST /agents/jobs/{job_id}/accept": _INSTANCE,
    "POST /agents/jobs/{job_id}/reject": _INSTANCE,
    "POST /agents/jobs/{job_id}/events": _INSTANCE,
    "POST /agents/jobs/{job_id}/extend": _INSTANCE,
    "POST /agents/jobs/{job_id}/finish": _INSTANCE,
    "POST /agents/tickets": "a ticket lives for seconds and opens one socket",
}
