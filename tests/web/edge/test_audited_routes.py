"""Each route that changes something is recorded in the audit trail, or has a reason not to be."""

from __future__ import annotations

from audited_routes import AUDITED, NOT_AUDITED

from robyn_server.web.routes import all_routes

MUTATING = {f"{route.method} {route.path}" for route in all_routes() if route.method != "GET" and not route.not_built}


def test_every_mutating_route_is_classified() -> None:
    assert MUTATING - set(AUDITED) - set(NOT_AUDITED) == set(), "add a line to tests/support/audited_routes.py"


def test_the_classification_has_no_line_too_many() -> None:
    assert (set(AUDITED) | set(NOT_AUDITED)) - MUTATING == set()
    assert set(AUDITED) & set(NOT_AUDITED) == set()
