"""The banner of `serve`."""

from __future__ import annotations

import pytest

from robyn_server.supervisor.banner import AssistantList, Banner, render_text


@pytest.mark.parametrize(("port", "says"), [(3000, True), (2024, False)])
def test_programs_are_told_of_a_server_where_they_would_not_look(port: int, says: bool) -> None:
    url = f"http://127.0.0.1:{port}"
    text = render_text(Banner(url=url, database="embedded", processes=[("web", 1)], seconds=1.0), AssistantList([]))
    assert (f"export AGENTHALL_URL={url}\n" in text) is says
    assert text.endswith("A second Ctrl-C stops at once.\n")
