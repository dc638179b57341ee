from __future__ import annotations

import os
from pathlib import Path

import pytest

from robyn_server.core.errors import NotFound
from robyn_server.web.console.built_files import BuiltConsole
from robyn_server.web.console.replies import answer
from robyn_server.web.http.messages import Response

SCRIPT, STYLE = "assets/index-abc.js", "assets/index-abc.css"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<html><head><title>Agenthall</title></head></html>")
    (dist / "favicon.svg").write_text("<svg/>")
    (dist / STYLE).write_text("a{}")
    for ending in ("", ".br", ".gz"):
        (dist / f"{SCRIPT}{ending}").write_text(f"script{ending}")
    (dist / ".sources").write_text("digest")
    (tmp_path / "secret.txt").write_text("secret")
    return dist


async def get(folder: Path, path: str, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await answer(BuiltConsole(folder), path, named)


def header(response: Response, name: str) -> str | None:
    return dict(response.headers).get(name)


@pytest.mark.parametrize(
    ("path", "base"),
    [("agents", "./"), ("agents/1", "../"), ("agents/1/versions", "../../")],
)
async def test_the_base_of_a_page_leads_to_the_root_of_the_console(folder: Path, path: str, base: str) -> None:
    page = await get(folder, path)
    assert page.status == 200
    assert page.body.startswith(f'<html><head><base href="{base}">'.encode())
    assert page.media_type == "text/html; charset=utf-8"


async def test_a_page_may_load_and_reach_only_its_own_server(folder: Path) -> None:
    policy = header(await get(folder, "agents"), "content-security-policy") or ""
    assert policy.startswith("default-src 'none'; script-src 'self' 'sha256-")
    assert "; style-src 'self'; " in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


async def test_a_hashed_file_is_kept_for_ever_and_the_page_is_revalidated(folder: Path) -> None:
    assert header(await get(folder, SCRIPT), "cache-control") == "public, max-age=31536000, immutable"
    assert header(await get(folder, "favicon.svg"), "cache-control") == "no-cache"
    assert header(await get(folder, "agents"), "cache-control") == "no-cache"


@pytest.mark.parametrize("path", ["agents", "agents/1", SCRIPT, "favicon.svg"])
async def test_a_client_that_has_the_file_gets_304_without_a_body(folder: Path, path: str) -> None:
    etag = header(await get(folder, path), "etag") or ""
    again = await get(folder, path, if_none_match=etag)
    assert (again.status, again.body, header(again, "etag")) == (304, b"", etag)
    assert (await get(folder, path, if_none_match='"other"')).status == 200


@pytest.mark.parametrize(
    ("accepted", "encoding", "body"),
    [("br, gzip", "br", b"script.br"), ("gzip", "gzip", b"script.gz"), ("", None, b"script")],
)
async def test_the_compressed_form_that_the_client_accepts_is_sent(
    folder: Path, accepted: str, encoding: str | None, body: bytes
) -> None:
    sent = await get(folder, SCRIPT, accept_encoding=accepted)
    assert (header(sent, "content-encoding"), sent.body, header(sent, "vary")) == (encoding, body, "accept-encoding")
    assert sent.media_type == "text/javascript; charset=utf-8"


async def test_each_encoding_has_an_etag_of_its_own(folder: Path) -> None:
    tags = {header(await get(folder, SCRIPT, accept_encoding=each), "etag") for each in ("br", "gzip", "")}
    assert len(tags) == 3


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "assets/../../secret.txt",
        "/etc/passwd.txt",
        "assets//etc/passwd",
        "..%2fsecret.txt",
        ".sources",
        f"{SCRIPT}.br",
        "assets/missing.js",
        "missing.js",
        "\0.js",
    ],
)
async def test_a_path_never_leaves_the_built_files(folder: Path, path: str) -> None:
    with pytest.raises(NotFound):
        await get(folder, path)


async def test_an_id_with_a_dot_is_a_page_for_a_browser_and_no_file_for_a_program(folder: Path) -> None:
    page = await get(folder, "fleet/acme.reviewer", accept="text/html,*/*;q=0.8")
    assert page.media_type == "text/html; charset=utf-8"
    with pytest.raises(NotFound):
        await get(folder, "fleet/acme.reviewer", accept="*/*")


async def test_before_the_first_build_a_page_says_so_and_reloads_itself(tmp_path: Path) -> None:
    page = await get(tmp_path / "dist", "agents")
    assert (page.status, header(page, "retry-after"), header(page, "cache-control")) == (503, "3", "no-store")
    assert b'http-equiv="refresh"' in page.body
    assert b"make console" in page.body


async def test_a_new_build_replaces_the_listed_files(folder: Path) -> None:
    console = BuiltConsole(folder)
    assert (await answer(console, SCRIPT, {})).body == b"script"
    (folder / SCRIPT).unlink()
    (folder / "assets" / "index-def.js").write_text("new")
    (folder / "index.html").write_text("<html><head></head></html>")
    os.utime(folder / "index.html", ns=(1, 1))
    assert (await answer(console, "assets/index-def.js", {})).body == b"new"
    with pytest.raises(NotFound):
        await answer(console, SCRIPT, {})
