"""Register a process as an agent instance with an Agenthall server, keep it alive, find and watch others.

    async with AgentInstance("ide-agent", capabilities=["debugging"]) as me:
        print(me.registration_id, me.epoch)
        await me.until_draining()

Logs go to the logger `agenthall_client`.
"""

from .client import Client
from .connection.timing import Timing
from .discovery.events import Event
from .discovery.instance_record import InstanceRecord
from .errors import (
    ClientError,
    Closed,
    Forbidden,
    JobCancelled,
    JobLost,
    Refused,
    Superseded,
    Unauthenticated,
    Unreachable,
)
from .instance import AgentInstance
from .jobs.job import Job
from .lease.registration import Registration, State

__version__ = "0.1.0"

__all__ = [
    "AgentInstance",
    "Client",
    "ClientError",
    "Closed",
    "Event",
    "Forbidden",
    "InstanceRecord",
    "Job",
    "JobCancelled",
    "JobLost",
    "Refused",
    "Registration",
    "State",
    "Superseded",
    "Timing",
    "Unauthenticated",
    "Unreachable",
]
