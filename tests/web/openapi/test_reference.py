from __future__ import annotations

import gzip

import pytest

from robyn_server.core.access.permissions import Operation
from robyn_server.core.errors import NotFound
from robyn_server.web.asgi.app_routes import RESERVED
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.openapi.reference import replies
from robyn_server.web.openapi.reference.files import reference_files

routes = RouteTable(tag="Things", operation=Operation.APP_USE)
routes.not_offered("GET", "/crons", "List <crons>")


def header(response: replies.Response, name: str) -> str:
    return dict(response.headers)[name]


def test_the_page_refers_to_files_relative_to_the_api() -> None:
    page = replies.page_reply(routes).body.decode()
    for name in reference_files():
        assert f'"docs/{name}"' in page


def test_the_page_may_load_from_this_server_alone_and_runs_one_inline_script_by_its_hash() -> None:
    response = replies.page_reply(routes)
    policy = header(response, "content-security-policy")
    assert "default-src 'none'; script-src 'self' 'sha256-" in policy and "; style-src 'self';" in policy
    assert "unsafe" not in policy and "http" not in policy
    page = response.body.decode()
    assert "<style" not in page and page.count("<script>") == 1


def test_a_browser_without_scripts_gets_the_list_of_operations() -> None:
    page = replies.page_reply(routes).body.decode()
    assert "List &lt;crons&gt;" in page.partition("<noscript>")[2].partition("</noscript>")[0]


def test_without_swagger_ui_the_page_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "swagger_ui_folder", lambda: None)
    response = replies.page_reply(routes)
    page = response.body.decode()
    assert "<script" not in page and "List &lt;crons&gt;" in page
    assert header(response, "content-security-policy").startswith("default-src 'none'; style-src 'sha256-")


async def test_a_file_is_sent_once_and_compressed_for_clients_that_take_it() -> None:
    plain = await replies.file_reply("swagger-ui.css", {})
    packed = await replies.file_reply("swagger-ui.css", {"accept-encoding": "br, gzip"})
    assert gzip.decompress(packed.body) == plain.body
    assert (header(packed, "content-encoding"), plain.media_type) == ("gzip", "text/css; charset=utf-8")
    again = {"accept-encoding": "gzip", "if-none-match": header(packed, "etag")}
    assert (await replies.file_reply("swagger-ui.css", again)).status == 304
    assert (await replies.file_reply("swagger-ui.css", {"if-none-match": header(packed, "etag")})).status == 200


@pytest.mark.parametrize("name", ["", "files.py", "../document.py", "swagger-ui.css.map"])
async def test_other_files_are_not_found(name: str) -> None:
    with pytest.raises(NotFound):
        await replies.file_reply(name, {})


def test_an_app_of_a_project_cannot_take_the_files() -> None:
    assert {f"/docs/{name}" for name in reference_files()} <= RESERVED
