"""A database of jobs that is empty in each test."""

from __future__ import annotations

import pytest
from job_database import JobDatabase
from registry_database import RegistryDatabase


@pytest.fixture
def jobs(registry: RegistryDatabase) -> JobDatabase:
    return JobDatabase(registry)
