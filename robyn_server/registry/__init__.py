"""The registry of agents that run elsewhere: instances, their leases, manifests and configurations.

The server uses the services. Other programs use `register_agent_instance`.
"""

from __future__ import annotations

from robyn_server.registry.instances.cordons import CordonService
from robyn_server.registry.instances.history import InstanceHistoryService
from robyn_server.registry.instances.instances import InstanceService

from .brakes import BrakeService
from .configurations import ConfigurationService
from .manifests import ManifestService
from .organizations import OrganizationSelector
from .python_api import register_agent_instance
from .scaling import ScalingService

__all__ = [
    "BrakeService",
    "ConfigurationService",
    "CordonService",
    "InstanceHistoryService",
    "InstanceService",
    "ManifestService",
    "OrganizationSelector",
    "ScalingService",
    "register_agent_instance",
]
