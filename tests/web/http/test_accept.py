from __future__ import annotations

import pytest

from robyn_server.web.http.accept import choose_encoding, matches_etag, names_html, prefers_html

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize("accept", [BROWSER, "text/html", "TEXT/HTML;q=0.9, application/json;q=0.1"])
def test_a_browser_prefers_html(accept: str) -> None:
    assert prefers_html(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/json",
        "application/json, text/html",
        "text/html;q=0.2, */*",
        "text/html;q=0",
        "text/html;q=zero",
        ",,;q=1",
    ],
)
def test_programs_do_not_prefer_html(accept: str) -> None:
    assert not prefers_html(accept)


def test_html_is_named_only_if_it_is_accepted() -> None:
    assert names_html(BROWSER)
    assert not names_html("text/html;q=0, */*")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("*", "br"),
        ("identity", None),
        ("", None),
    ],
)
def test_the_smallest_encoding_that_the_client_accepts_is_chosen(accept: str, chosen: str | None) -> None:
    assert choose_encoding(accept, ("br", "gzip")) == chosen


@pytest.mark.parametrize(
    ("header", "is_same"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("", False)],
)
def test_if_none_match_compares_weakly(header: str, is_same: bool) -> None:
    assert matches_etag(header, '"a"') is is_same
