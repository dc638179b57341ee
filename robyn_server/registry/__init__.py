"""The registry of agents that run elsewhere: instances, their manifests and configurations.

For programs of one's own, `register_agent_instance` is the seed's call; the server works with the services.
"""

from __future__ import annotations

from .configurations import ConfigurationService
from .face import register_agent_instance
from .instances import InstanceService
from .manifests import ManifestService
from .tenants import Tenants

__all__ = ["ConfigurationService", "InstanceService", "ManifestService", "Tenants", "register_agent_instance"]
