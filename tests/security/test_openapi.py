"""The server answers as `/openapi.json` says: statuses, media types, headers and bodies, checked by schemathesis."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import schemathesis
from deadlines import DEADLINE
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from robyn_server.web.openapi.document import openapi
from robyn_server.web.routes import all_routes

from .conftest import HostileTarget
from .long_version import times
from .plausible import ORGANIZATION

EXAMPLES = times(4, long=100)
"""Of each operation."""

NEEDS_A_CATALOGUE = "POST /agents/sync"
"""503 without one, as here."""

ENDLESS = {"/agents/watch", "/threads/{thread_id}/stream"}
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def _specification() -> dict[str, Any]:
    """Without `default`, which stands for the statuses of handlers: every other one must be listed."""
    spec = openapi([route for route in all_routes() if not route.not_built and route.path not in ENDLESS])
    for operations in spec["paths"].values():
        for operation in operations.values():
            del operation["responses"]["default"]
    return spec


SCHEMA = schemathesis.openapi.from_dict(_specification())
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
async def test_an_operation_answers_as_it_is_described(target: HostileTarget, operation: Any) -> None:
    await asyncio.to_thread(_call_many, operation, target.server.url)


def _call_many(operation: Any, url: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def call(case: Any) -> None:
        response = case.call(base_url=url, headers={"x-organization-id": ORGANIZATION}, timeout=DEADLINE)
        checks = CHECKS[1:] if operation.label == NEEDS_A_CATALOGUE else CHECKS
        case.validate_response(response, checks=checks)

    call()
