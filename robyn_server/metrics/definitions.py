"""Every metric of the server, in the order of `docs/metrics.md`. See the package for the rules."""

from __future__ import annotations

import time

from robyn_server import __version__
from robyn_server.core.agent_change import RETIRED
from robyn_server.core.catalogue import SyncAction
from robyn_server.core.runs import RunStatus

from .instruments import Chosen, Counter, Gauge, Histogram, Reading, Words, every_metric

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_SILENCES = (1.0, 2.5, 5.0, 7.5, 10.0, 12.5, 15.0, 17.0, 20.0, 30.0, 60.0, 150.0, 600.0)
_SLOW = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0)

# processes

PROCESSES = Words(("web", "worker", "sockets"))
INFO = Gauge("info", "Always 1; its label says which version runs.", across="max", version=Words([__version__]))
LIVING = Gauge("processes", "Processes that live.", across="sum", process=PROCESSES)
STARTED = Gauge(
    "process_start_time_seconds", "When the youngest process started, Unix time.", across="max", process=PROCESSES
)
_announced: set[str] = set()


def announce(process: str) -> None:
    """This process is one of `PROCESSES`, and lives from now on."""
    _announced.add(process)
    INFO.set(1, __version__)
    LIVING.set(1, process)
    STARTED.set(time.time(), process)
    for metric in every_metric():
        if isinstance(metric, (Counter, Histogram)):
            metric.begin()


def is_announced() -> bool:
    """Whether this is a process of the server, whose numbers somebody reads."""
    return bool(_announced)


# HTTP

METHODS = Words(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "other"))
UNROUTED = "none"
ROUTES = Words([UNROUTED])
"""Patterns of paths; the web edge adds those of its routes. `none`: no route was looked for or found."""

HTTP_REQUESTS = Counter(
    "http_requests",
    "Requests answered, by the route's pattern.",
    method=METHODS,
    route=ROUTES,
    status=Words(range(100, 600)),
)
HTTP_SECONDS = Histogram(
    "http_request_duration_seconds",
    "Until the answer; of a stream until its headers.",
    buckets=_FAST,
    method=METHODS,
    route=ROUTES,
)
HTTP_IN_FLIGHT = Gauge("http_requests_in_flight", "Requests that wait for their answer.", across="sum")
STREAMS_OPEN = Gauge("http_streams_open", "Streams (SSE) that are open.", across="sum")

# runs

RUNS_PENDING = Reading("runs_pending", "Runs that wait for a worker or for their thread, in the whole database.")
RUNS_RUNNING = Reading("runs_running", "Runs under way, in the whole database.")
RUN_WAITING = Reading(
    "runs_pending_oldest_seconds", "How long the run waits that has been due the longest; 0: none does."
)
RUNS_FINISHED = Counter(
    "runs_finished",
    "Runs that ended on a worker, by their last status.",
    status=Words(status for status in RunStatus if status.is_ended),
)
RUN_WAIT = Histogram(
    "run_wait_seconds", "From when a run was due until a worker had it, first attempts.", buckets=_SLOW
)
RUN_SECONDS = Histogram("run_duration_seconds", "How long a worker had a run that ended there.", buckets=_SLOW)
RUNS_REPEATED = Counter("run_repeats", "Runs that were begun once more: second and later attempts.")
SLOTS = Gauge("worker_slots", "Runs that the workers can execute at once.", across="sum")
SLOTS_BUSY = Gauge("worker_slots_busy", "Runs that the workers execute.", across="sum")

# database

POOLS = Words(("app", "system", "catalogue"))
CONNECTIONS = Gauge("database_connections", "Open connections of the pools.", across="sum", pool=POOLS)
CONNECTIONS_BUSY = Gauge("database_connections_in_use", "Connections that are lent out.", across="sum", pool=POOLS)
DATABASE_UP = Reading(
    "database_up", "1 when the database answered this scrape, else 0; then what it knows is left out."
)

# agent sync

TRIGGERS = Words(("pass", "feed"))
SYNC_ACTIONS = Words((*(action for action in SyncAction if action is not SyncAction.MISSING), RETIRED))
SYNC_AGENTS = Counter(
    "agent_sync_agents",
    "Agents looked at, by what became of them, in looks at a whole scope and from the change feed.",
    trigger=TRIGGERS,
    action=SYNC_ACTIONS,
)
SYNC_PASSES = Counter("agent_sync_passes", "Looks at a whole scope.", result=Words(("succeeded", "failed")))
SYNC_SECONDS = Histogram("agent_sync_pass_duration_seconds", "Looks at a whole scope that succeeded.", buckets=_SLOW)
SYNC_LAST = Gauge(
    "agent_sync_last_pass_timestamp_seconds",
    "When the last look at a whole scope succeeded, Unix time.",
    across="max",
    outlives=True,
)
LAZY_SYNCS = Counter(
    "agent_sync_lazy",
    "Agents referenced: served as they were (hit), brought up to date, made, unknown, served old because the catalogue could not"
    " be asked (stale), not served for that reason (unavailable), or not fit to be served (rejected).",
    outcome=Words(("hit", "refreshed", "created", "miss", "stale", "unavailable", "rejected")),
)
FEED_CONNECTED = Gauge("agent_sync_feed_connected", "1 when every web process hears the change feed.", across="min")
FEED_LAG = Histogram(
    "agent_sync_feed_lag_seconds", "From when an edit was heard of until it was applied.", buckets=_FAST
)
WRITE_BACK_FAILURES = Counter("agent_sync_write_back_failures", "Assistants' ids that the catalogue did not take.")
WRITE_BACK_RETRIES = Counter("agent_sync_write_back_retries", "Owed ids that the catalogue took at last.")
CONTRACT_PROBLEMS = Gauge(
    "agent_sync_contract_problems",
    "Tables and columns of the catalogue that are missing or may not be read. One without any of them is none: its passes fail.",
    across="max",
)

# registry

MOST_AGENTS = 100
OTHER_AGENTS = "other"
AGENTS = Chosen("the agent_id", OTHER_AGENTS)
"""Types of agents, by their ids: at each scrape the `MOST_AGENTS` of which most instances live. All others are `other`."""

INSTANCES = Reading(
    "registry_instances",
    f"Instances that live, by type of agent: the {MOST_AGENTS} types with most of them, and the others together.",
    agent=AGENTS,
)
INSTANCES_STALE = Reading("registry_instances_stale", "Instances whose lease has lapsed and that are not ended yet.")
BRAKES = Reading(
    "registry_brakes", "Sets of instances of which so many lapsed at once that none is removed: look at it."
)
BRAKES_ENGAGED = Counter("registry_brakes_engaged", "Brakes, each counted once: by the process whose sweep engaged it.")
REGISTRATIONS = Counter(
    "registry_registrations",
    "Registrations over REST, WebSocket and from Python in a process of the server, by what became of them: a new instance, one that was"
    " known, refused for whatever the caller did (credentials, rights, what it says), failed.",
    result=Words(("registered", "reconnected", "refused", "failed")),
)
RECONNECTIONS = Counter("registry_reconnections", "Registrations of instances that were known already.")
HEARTBEAT_SECONDS = Histogram(
    "registry_heartbeat_duration_seconds", "From when a heartbeat was understood until it was written.", buckets=_FAST
)
HEARTBEAT_ROWS = Counter("registry_heartbeats_written", "Leases written for heartbeats.")
LEASES_EXPIRED = Counter(
    "registry_leases_expired",
    "Leases found lapsed: the instance was silent, the server process that took its heartbeats was gone, or nobody looked after it"
    " (its socket had dropped, or SQL registered it).",
    reason=Words(("silent", "keeper_gone", "unkept")),
)
LEASES_SWEPT = Counter(
    "registry_instances_swept",
    "What sweeps wrote down: out of routing (stale), ended (inactive), forgotten (deleted).",
    step=Words(("stale", "inactive", "deleted")),
)
DETECTION_SECONDS = Histogram(
    "registry_detection_seconds", "From an instance's last heartbeat until it was noted as lapsed.", buckets=_SILENCES
)
PROPAGATION_SECONDS = Histogram(
    "registry_change_propagation_seconds",
    "From a change of an instance until a process had it for its watchers.",
    buckets=_FAST,
)
WATCHERS = Gauge("registry_watchers", "Watches of instances that are open.", across="sum")
SOCKETS_OPEN = Gauge("registry_sockets_open", "WebSockets that are open.", across="sum")
SLOW_CONSUMERS = Counter(
    "registry_slow_consumers_closed",
    "Watches that fell too far behind, and sockets that took nothing, ended.",
    of=Words(("watch", "socket")),
)
