"""Every metric of the server, in the order of `docs/reference/metrics.md`. See the package for the rules."""

from __future__ import annotations

import time

from robyn_server import __version__
from robyn_server.core.catalogue.agent_change import RETIRED
from robyn_server.core.catalogue.fields import SyncAction
from robyn_server.core.runs import EventTransport, RunStatus
from robyn_server.core.ttl import PruneStrategy

from .instruments import Counter, Gauge, Histogram, LabelValues, OpenLabelValues, Reading, every_metric

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_SILENCES = (1.0, 2.5, 5.0, 7.5, 10.0, 12.5, 15.0, 17.0, 20.0, 30.0, 60.0, 150.0, 600.0)
_SLOW = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0)

# processes

PROCESSES = LabelValues(("web", "worker", "sockets"))
INFO = Gauge("info", "Always 1. The label is the version.", across="max", version=LabelValues([__version__]))
LIVING = Gauge("processes", "Living processes.", across="sum", process=PROCESSES)
STARTED = Gauge(
    "process_start_time_seconds", "Start of the youngest process, Unix time.", across="max", process=PROCESSES
)
_announced: set[str] = set()


def announce(process: str) -> None:
    """Count this process as live. `process` is one of `PROCESSES`."""
    _announced.add(process)
    INFO.set(1, __version__)
    LIVING.set(1, process)
    STARTED.set(time.time(), process)
    for metric in every_metric():
        if isinstance(metric, (Counter, Histogram)):
            metric.initialize()


def is_announced() -> bool:
    """Return whether this is a process of the server, whose metrics are read."""
    return bool(_announced)


# HTTP

METHODS = LabelValues(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "other"))
UNROUTED = "none"
OF_THE_APP = "http.app"
ROUTES = LabelValues([UNROUTED])
"""Patterns of paths; the web edge adds those of its routes. `none`: no route was looked for or found. `http.app`: a
route of the project's app."""

HTTP_REQUESTS = Counter(
    "http_requests",
    "Answered requests, by the route's pattern.",
    method=METHODS,
    route=ROUTES,
    status=LabelValues(range(100, 600)),
)
HTTP_SECONDS = Histogram(
    "http_request_duration_seconds",
    "Time until the answer. For a stream, until its headers.",
    buckets=_FAST,
    method=METHODS,
    route=ROUTES,
)
REQUESTS_LIMITED = Counter(
    "http_requests_rate_limited",
    "Requests that a rate limit refused, by whose budget was used up.",
    limit=LabelValues(("principal", "organization")),
)
HTTP_IN_FLIGHT = Gauge("http_requests_in_flight", "Requests in progress.", across="sum")
STREAMS_OPEN = Gauge("http_streams_open", "Open streams (SSE).", across="sum")

# runs

RUNS_PENDING = Reading("runs_pending", "Runs that wait for a worker or for their thread, in the whole database.")
RUNS_RUNNING = Reading("runs_running", "Runs under way, in the whole database.")
RUN_WAITING = Reading("runs_pending_oldest_seconds", "Wait of the run that has been due the longest. 0: none waits.")
RUNS_UNSERVED = Reading("runs_unserved", "Runs that are due and wait for a graph that no running worker serves.")
RUNS_FINISHED = Counter(
    "runs_finished",
    "Runs that ended on a worker, by their last status.",
    status=LabelValues(status for status in RunStatus if status.is_ended),
)
RUN_WAIT = Histogram(
    "run_wait_seconds", "Time from when a run was due until a worker claimed it. First attempts only.", buckets=_SLOW
)
RUN_SECONDS = Histogram("run_duration_seconds", "Time that a worker held a run which ended there.", buckets=_SLOW)
RUNS_REPEATED = Counter("run_repeats", "Second and later attempts of runs.")
THREADS_SWEPT = Counter(
    "threads_swept",
    "Threads whose time was over, or that nobody used: deleted (delete), or left with their latest state (keep_latest).",
    strategy=LabelValues(PruneStrategy),
)
CHECKPOINTS_SWEPT = Counter(
    "checkpoints_swept", "Checkpoints deleted because their thread had more than AGENTHALL_KEEP_CHECKPOINTS."
)
SLOTS = Gauge("worker_slots", "Runs that the workers can execute at the same time.", across="sum")
SLOTS_BUSY = Gauge("worker_slots_busy", "Runs that the workers execute now.", across="sum")
INSTANCE_RUNS_LIMIT = Gauge(
    "worker_instance_runs_limit", "Runs of agents elsewhere that the workers can have at the same time.", across="sum"
)
INSTANCE_RUNS = Gauge(
    "worker_instance_runs", "Runs of agents elsewhere that the workers have now. They take no slots.", across="sum"
)

# events of runs

TRANSPORTS = LabelValues(EventTransport)
EVENTS_WRITTEN = Counter("run_events_written", "Events of runs that workers wrote.", transport=TRANSPORTS)
EVENT_WRITE_SECONDS = Histogram(
    "run_events_write_seconds", "Time of one write of events, of one or many runs.", buckets=_FAST, transport=TRANSPORTS
)
EVENTS_WAITING = Gauge(
    "run_events_waiting", "Events of runs that wait to be written.", across="sum", transport=TRANSPORTS
)
EVENT_FALLBACKS = Counter(
    "run_events_fallbacks", "Runs that went on with their events in PostgreSQL because Redis did not take them."
)
EVENTS_MISSING = Counter("run_events_missing", "Notes to readers in the place of events that were lost.")
REDIS_UP = Gauge("redis_up", "1 if Redis answered every process that uses it, else 0.", across="min")
REDIS_ERRORS = Counter("redis_errors", "Calls of Redis that failed, and pings.")

# database

POOLS = LabelValues(("app", "system", "catalogue"))
CONNECTIONS = Gauge("database_connections", "Open connections of the pools.", across="sum", pool=POOLS)
CONNECTIONS_BUSY = Gauge("database_connections_in_use", "Connections in use.", across="sum", pool=POOLS)
DATABASE_UP = Reading(
    "database_up", "1 if the database answered this scrape, else 0. At 0, metrics of the database are left out."
)

# agent sync

TRIGGERS = LabelValues(("pass", "feed"))
SYNC_ACTIONS = LabelValues((*(action for action in SyncAction if action is not SyncAction.MISSING), RETIRED))
SYNC_AGENTS = Counter(
    "agent_sync_agents",
    "Agents synced in passes and by the change feed, by result.",
    trigger=TRIGGERS,
    action=SYNC_ACTIONS,
)
SYNC_PASSES = Counter("agent_sync_passes", "Passes over a whole scope.", result=LabelValues(("succeeded", "failed")))
SYNC_SECONDS = Histogram("agent_sync_pass_duration_seconds", "Duration of passes that succeeded.", buckets=_SLOW)
SYNC_LAST = Gauge(
    "agent_sync_last_pass_timestamp_seconds",
    "End of the last pass that succeeded, Unix time.",
    across="max",
    outlives=True,
)
LAZY_SYNCS = Counter(
    "agent_sync_lazy",
    "Referenced agents, by result: fresh (hit), synced again (refreshed), new (created), unknown (miss), served although the"
    " catalogue did not answer (stale), not served for that reason (unavailable), faulty (rejected).",
    outcome=LabelValues(("hit", "refreshed", "created", "miss", "stale", "unavailable", "rejected")),
)
FEED_CONNECTED = Gauge(
    "agent_sync_feed_connected", "1 if every web process is connected to the change feed.", across="min"
)
FEED_LAG = Histogram(
    "agent_sync_feed_lag_seconds", "Time from the report of an edit until it was applied.", buckets=_FAST
)
WRITE_BACK_FAILURES = Counter("agent_sync_write_back_failures", "Write-backs that failed.")
WRITE_BACK_RETRIES = Counter("agent_sync_write_back_retries", "Write-backs that succeeded on retry.")
CONTRACT_PROBLEMS = Gauge(
    "agent_sync_contract_problems",
    "Tables and columns of the catalogue that are missing or cannot be read. A database without any of the tables counts 0, and its passes fail.",
    across="max",
)

# registry

MOST_AGENTS = 100
OTHER_AGENTS = "other"
AGENTS = OpenLabelValues("the agent_id", OTHER_AGENTS)
"""Types of agents, by their ids: at each scrape the `MOST_AGENTS` of which most instances live.

All others are `other`.
"""

INSTANCES = Reading(
    "registry_instances",
    f"Living instances by type of agent: the {MOST_AGENTS} types with most of them, and the others together.",
    agent=AGENTS,
)
INSTANCES_STALE = Reading("registry_instances_stale", "Instances whose lease has lapsed and that are not inactive yet.")
BRAKES = Reading(
    "registry_brakes", "Open circuit breakers: sets of which so many instances lapsed at once that none is ended."
)
BRAKES_ENGAGED = Counter(
    "registry_brakes_engaged", "Circuit breakers opened. Each is counted once, by the process whose sweep opened it."
)
JOBS_QUEUED = Reading("jobs_queued", "Jobs that wait for an instance, by type of agent.", agent=AGENTS)
JOB_WAITING = Reading("jobs_queued_oldest_seconds", "Wait of the oldest job in the queue. 0: none waits.", agent=AGENTS)
JOB_SLOTS = Reading("job_slots", "Slots of the instances that can take jobs, by type of agent.", agent=AGENTS)
JOB_SLOTS_USED = Reading("job_slots_used", "Slots that jobs take, offers too, by type of agent.", agent=AGENTS)
REGISTRATIONS = Counter(
    "registry_registrations",
    "Registrations over HTTP, WebSocket and Python in a server process, by result: new (registered), known (reconnected),"
    " refused because of the request (credentials, rights, fields), failed.",
    result=LabelValues(("registered", "reconnected", "refused", "failed")),
)
RECONNECTIONS = Counter("registry_reconnections", "Registrations of known instances.")
HEARTBEAT_SECONDS = Histogram(
    "registry_heartbeat_duration_seconds", "Time from when a heartbeat was parsed until it was written.", buckets=_FAST
)
HEARTBEAT_ROWS = Counter("registry_heartbeats_written", "Leases that heartbeats extended.")
JOB_EVENTS_WRITTEN = Counter("registry_job_events_written", "Events of jobs that this server stored for instances.")
HEALTH_CHECKS = Counter(
    "registry_health_checks", "Checks of instances over HTTP.", result=LabelValues(("passed", "failed"))
)
LEASES_EXPIRED = Counter(
    "registry_leases_expired",
    "Lapsed leases, by reason: the instance was silent, its keeper was gone, or it had no keeper (unkept: its socket had broken,"
    " or SQL registered it).",
    reason=LabelValues(("silent", "keeper_gone", "unkept")),
)
LEASES_SWEPT = Counter(
    "registry_instances_swept",
    "Instances changed by sweeps: out of routing (stale), ended (inactive), deleted.",
    step=LabelValues(("stale", "inactive", "deleted")),
)
DETECTION_SECONDS = Histogram(
    "registry_detection_seconds",
    "Time from an instance's last heartbeat until it was marked as lapsed.",
    buckets=_SILENCES,
)
PROPAGATION_SECONDS = Histogram(
    "registry_change_propagation_seconds",
    "Time from a change of an instance until a process had it for its watches.",
    buckets=_FAST,
)
WATCHERS = Gauge("registry_watchers", "Open watches of instances.", across="sum")
SOCKETS_OPEN = Gauge("registry_sockets_open", "Open WebSockets.", across="sum")
SLOW_CONSUMERS = Counter(
    "registry_slow_consumers_closed",
    "Slow consumers disconnected, by type.",
    of=LabelValues(("watch", "socket")),
)
