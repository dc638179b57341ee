"""The server answers as `/openapi.json` says: statuses, media types, headers and bodies, checked by schemathesis.

Requests that it allows are answered as it says, and others are refused.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import schemathesis
from deadlines import DEADLINE
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
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
    negative_data_rejection,
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


WITHOUT_WRONG_REQUESTS = {"GET /connections/callback"}
"""Its parameters are texts, and it is opened by browsers without an organization."""


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
async def test_an_operation_answers_as_it_is_described(target: HostileTarget, operation: Any) -> None:
    await asyncio.to_thread(_call_many, operation, operation.as_strategy(), target.server.url, CHECKS)


@pytest.mark.parametrize(
    "operation",
    [each for each in OPERATIONS if each.label not in WITHOUT_WRONG_REQUESTS],
    ids=lambda operation: operation.label,
)
async def test_an_operation_refuses_what_is_not_described(target: HostileTarget, operation: Any) -> None:
    wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    await asyncio.to_thread(_call_many, operation, wrong, target.server.url, [*CHECKS, negative_data_rejection])


def _call_many(operation: Any, requests: Any, url: str, checks: list[Any]) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=requests)
    def call(case: Any) -> None:
        named = {} if _names_organization(case) else {"x-organization-id": ORGANIZATION}
        response = case.call(base_url=url, headers=named, timeout=DEADLINE)
        case.validate_response(response, checks=checks[1:] if operation.label == NEEDS_A_CATALOGUE else checks)

    call()


def _names_organization(case: Any) -> bool:
    return any(name.lower() == "x-organization-id" for name in case.headers or ())
