"""What `serve` says to people when it is ready."""

from __future__ import annotations

import pytest

from robyn_server.runtime.greeting import Facts, Served, for_people


@pytest.mark.parametrize(("port", "says"), [(3000, True), (2024, False)])
def test_programs_are_told_of_a_server_where_they_would_not_look(port: int, says: bool) -> None:
    url = f"http://127.0.0.1:{port}"
    text = for_people(Facts(url=url, database="embedded", processes=[("web", 1)], seconds=1.0), Served([]))
    assert (f"export AGENTHALL_URL={url}\n" in text) is says
    assert text.endswith("a second Ctrl-C does not.\n")
