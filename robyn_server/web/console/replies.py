"""Answers requests below `/console`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping

from robyn_server.core.errors import NotFound
from robyn_server.web.http.accept import choose_encoding, matches_etag, names_html
from robyn_server.web.http.messages import Headers, Response

from .built_files import ASSETS, BuiltConsole, BuiltFile
from .pages import FILE_HEADERS, PAGE_HEADERS, START_HEADERS, START_PAGE, UNBUILT_HEADERS, UNBUILT_PAGE, with_base

HTML = "text/html; charset=utf-8"
_FOR_EVER = "public, max-age=31536000, immutable"


async def answer(console: BuiltConsole, path_below: str, headers: Mapping[str, str]) -> Response:
    """The file at `path_below` the console, else its page, which shows what the path means.

    Raises NotFound for a file that the build did not make.
    """
    await asyncio.to_thread(console.refresh)
    file = console.find(path_below)
    if file is not None:
        return await _file(file, headers)
    if not _is_page(path_below, headers.get("accept", "")):
        raise NotFound("The console has no such file.")
    if not console.page:
        return Response(503, UNBUILT_PAGE, UNBUILT_HEADERS, HTML)
    if not path_below:
        return Response(200, START_PAGE, START_HEADERS, HTML)
    return _page(console.page, path_below, headers)


def _is_page(path_below: str, accept: str) -> bool:
    """Ids in a path may have dots, so a path with a dot is a page for clients that ask for HTML."""
    if path_below.startswith(ASSETS):
        return False
    return "." not in path_below.rpartition("/")[2] or names_html(accept)


def _page(page: str, path_below: str, headers: Mapping[str, str]) -> Response:
    body = with_base(page, path_below).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return _revalidated(etag, body, PAGE_HEADERS, HTML, headers)


async def _file(file: BuiltFile, headers: Mapping[str, str]) -> Response:
    encoding = choose_encoding(headers.get("accept-encoding", ""), tuple(file.encoded))
    path = file.path if encoding is None else file.encoded[encoding]
    etag = f'"{file.digest}"' if encoding is None else f'"{file.digest}-{encoding}"'
    sent: Headers = (*FILE_HEADERS, ("cache-control", _FOR_EVER if file.is_hashed else "no-cache"))
    if file.encoded:
        sent = (*sent, ("vary", "accept-encoding"))
    if encoding is not None:
        sent = (*sent, ("content-encoding", encoding))
    try:
        body = await asyncio.to_thread(path.read_bytes)
    except FileNotFoundError:  # a new build has just replaced it
        raise NotFound("The console has no such file.") from None
    return _revalidated(etag, body, sent, file.media_type, headers)


def _revalidated(etag: str, body: bytes, sent: Headers, media_type: str, headers: Mapping[str, str]) -> Response:
    """`body`, or 304 for a client that has it."""
    sent = (*sent, ("etag", etag))
    if matches_etag(headers.get("if-none-match", ""), etag):
        return Response(304, b"", tuple(line for line in sent if line[0] != "content-encoding"), media_type="")
    return Response(200, body, sent, media_type)
