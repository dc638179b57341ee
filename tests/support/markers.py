"""Mark tests by what they start, so that `make quick` can leave those out, and those of the audit's scenarios."""

from __future__ import annotations

import re
from functools import cache

import pytest
from doc_pages import DOCS

SERVERS = {"postgres", "server", "shared"}
"""Fixtures that start PostgreSQL or a server of ours.

A test that starts one itself has the marker `server` in its file.
"""

_FINDING = re.compile(r"^\| F\d+ \|.*$", re.MULTILINE)


@cache
def audit_tests() -> frozenset[str]:
    """The tests that the page about security names for the findings of the audit, as `path::name`."""
    page = (DOCS / "explanation" / "security.md").read_text(encoding="utf-8")
    return frozenset(re.findall(r"`(tests/[^`]+::\w+)`", "".join(_FINDING.findall(page))))


def pytest_itemcollected(item: pytest.Item) -> None:
    if SERVERS.intersection(getattr(item, "fixturenames", ())):
        item.add_marker("server")
    if item.nodeid.partition("[")[0] in audit_tests():
        item.add_marker("audit")
