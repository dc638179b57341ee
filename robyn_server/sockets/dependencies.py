"""The services that the methods of the protocol call."""

from __future__ import annotations

from dataclasses import dataclass

from robyn_server.registry import InstanceService, OrganizationSelector
from robyn_server.registry.jobs.instance_jobs import InstanceJobService
from robyn_server.registry.leases.event_broker import InstanceEventBroker

from .authentication import SocketAuthenticator
from .resume_tokens import ResumeTokens


@dataclass(frozen=True, slots=True)
class SocketDependencies:
    instances: InstanceService
    instance_events: InstanceEventBroker
    select_organization: OrganizationSelector
    authenticator: SocketAuthenticator
    resume_tokens: ResumeTokens
    instance_jobs: InstanceJobService
