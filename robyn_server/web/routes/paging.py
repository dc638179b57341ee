"""A page of a search as a response."""

from __future__ import annotations

from robyn_server.core.page import Page
from robyn_server.web.http.messages import Response, json_response


def page_response(page: Page) -> Response:
    headers = [("x-pagination-total", str(page.total))]
    if page.next_offset is not None:
        headers.append(("x-pagination-next", str(page.next_offset)))
    return json_response(page.body, headers=tuple(headers))
