"""Answers requests for `/docs` and the files below it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from robyn_server.core.errors import NotFound
from robyn_server.web.http.accept import choose_encoding, matches_etag
from robyn_server.web.http.content_policy import source_hash
from robyn_server.web.http.messages import Headers, Response
from robyn_server.web.http.routing import Route
from robyn_server.web.openapi.docs_page import PLAIN_HEADERS, docs_page, operation_list

from .files import reference_files, swagger_ui_folder

_HTML = "text/html; charset=utf-8"
_COMMON = (("x-content-type-options", "nosniff"), ("cache-control", "no-cache"))
_LEAVE_SLASH = (
    "location.pathname.endsWith('/') && location.replace(location.pathname.replace(/\\/+$/, '') + location.hash)"
)
"""The server cannot tell `/docs/` from `/docs`, and addresses are relative to the latter."""
_POLICY = (
    f"default-src 'none'; script-src 'self' {source_hash(_LEAVE_SLASH)}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS = (
    *_COMMON,
    ("content-security-policy", _POLICY),
    ("cross-origin-opener-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
)


def page_reply(routes: Sequence[Route]) -> Response:
    """The reference, or the plain page without Swagger UI."""
    if swagger_ui_folder() is None:
        return Response(200, docs_page(routes).encode(), PLAIN_HEADERS, _HTML)
    return Response(200, _reference_page(routes).encode(), _PAGE_HEADERS, _HTML)


def _reference_page(routes: Sequence[Route]) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Agenthall API</title>'
        f"<script>{_LEAVE_SLASH}</script>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="docs/swagger-ui.css"><link rel="stylesheet" href="docs/reference.css">'
        '<script src="docs/swagger-ui-bundle.js" defer></script><script src="docs/reference.js" defer></script></head>'
        f'<body><main id="reference"></main><noscript>{operation_list(routes)}</noscript></body></html>'
    )


async def file_reply(name: str, headers: Mapping[str, str]) -> Response:
    """A file of the reference, or 304 for a client that has it. Raises NotFound."""
    file = (await asyncio.to_thread(reference_files)).get(name)
    if file is None:
        raise NotFound("The API reference has no such file.")
    encoding = choose_encoding(headers.get("accept-encoding", ""), ("gzip",))
    etag = f'"{file.digest}"' if encoding is None else f'"{file.digest}-{encoding}"'
    sent: Headers = (*_COMMON, ("etag", etag), ("vary", "accept-encoding"))
    if matches_etag(headers.get("if-none-match", ""), etag):
        return Response(304, b"", sent, media_type="")
    if encoding is None:
        return Response(200, file.body, sent, file.media_type)
    return Response(200, file.compressed, (*sent, ("content-encoding", encoding)), file.media_type)
