"""The banner of `serve`."""

from __future__ import annotations

import pytest

from robyn_server.supervisor.output.banner import HANDLERS, AssistantList, Banner, render_example, render_text


@pytest.mark.parametrize(("port", "says"), [(3000, True), (2024, False)])
def test_programs_are_told_of_a_server_where_they_would_not_look(port: int, says: bool) -> None:
    url = f"http://127.0.0.1:{port}"
    text = render_text(Banner(url=url, database="embedded", processes=[("web", 1)], seconds=1.0), AssistantList([]))
    assert (f"export AGENTHALL_URL={url}\n" in text) is says
    assert text.endswith("A second Ctrl-C stops at once.\n")


def test_the_first_conversation_of_a_project_with_handlers_has_credentials_for_them() -> None:
    banner = Banner(url="http://127.0.0.1:2024", database="embedded", processes=[], seconds=1.0, auth_mode=HANDLERS)
    example = render_example(banner, AssistantList([], "credentials are required"))
    assert 'headers={"Authorization": os.environ["AUTHORIZATION"]}' in example
    assert "AGENTHALL_API_KEY" not in example


def test_the_graphs_of_a_project_are_shown_although_nobody_is_logged_in() -> None:
    banner = Banner(
        url="http://127.0.0.1:2024",
        database="embedded",
        processes=[],
        seconds=1.0,
        auth_mode=HANDLERS,
        project="/p/langgraph.json",
        graphs=["chat", "writer"],
        app="/p/web.py:app",
    )
    text = render_text(banner, AssistantList([], "credentials are required"))
    assert "graphs     chat, writer\n" in text and "own routes /p/web.py:app\n" in text
