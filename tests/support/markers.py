"""Mark tests by what they start, so that `make quick` can leave those out."""

from __future__ import annotations

import pytest

SERVERS = {"postgres", "server", "shared"}
"""Fixtures that start PostgreSQL or a server of ours.

A test that starts one itself has the marker `server` in its file.
"""


def pytest_itemcollected(item: pytest.Item) -> None:
    if SERVERS.intersection(getattr(item, "fixturenames", ())):
        item.add_marker("server")
