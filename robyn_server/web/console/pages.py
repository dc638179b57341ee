"""The console's page, and the page that stands in for it until it is built."""

from __future__ import annotations

from robyn_server.web.http.content_policy import source_hash

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.6 system-ui,sans-serif;max-width:34rem;margin:18vh auto;padding:0 1.5rem}"
    "h1{font-size:1.25rem;margin:0 0 .75rem}code{font:14px ui-monospace,monospace}p{margin:.75rem 0}"
)


_SET_BASE = (
    "{const s=document.currentScript,p=location.pathname.replace(/\\/+$/,'').split('/');"
    "p.length-=Number(s.dataset.depth);document.querySelector('base').href=p.join('/')+'/'}"
)
"""Corrects the base where the address ends with a slash, which Robyn removes before the server sees the path."""

_GO_TO_START = "location.replace(location.pathname.replace(/\\/+$/,'')+'/overview'+location.search)"

START_PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Agenthall</title>'
    f"<script>{_GO_TO_START}</script></head><body><noscript>The console needs JavaScript.</noscript></body></html>"
).encode()
"""Leads from `/console` and `/console/`, which the server cannot tell apart, to the first page."""

UNBUILT_PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Agenthall</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><meta http-equiv="refresh" content="3">'
    f"<style>{_STYLE}</style></head><body><main><h1>The console is not built yet</h1>"
    "<p>On a new machine <code>make serve</code> builds it beside the server, which takes about a minute. This page "
    "reloads itself until the console is there.</p>"
    "<p>If it stays, run <code>make console</code>: that builds the console and prints what is missing. The server "
    "works without it.</p></main></body></html>"
).encode()

_COMMON = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
)

_POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""Styles that scripts set on elements need no exception: the policy is about markup."""

PAGE_HEADERS = (
    *_COMMON,
    ("content-security-policy", _POLICY.format(script=f"'self' {source_hash(_SET_BASE)}", style="'self'")),
    ("cache-control", "no-cache"),
)
START_HEADERS = (
    *_COMMON,
    ("content-security-policy", f"default-src 'none'; script-src {source_hash(_GO_TO_START)}; frame-ancestors 'none'"),
    ("cache-control", "no-cache"),
)
UNBUILT_HEADERS = (
    *_COMMON,
    ("content-security-policy", _POLICY.format(script="'none'", style=source_hash(_STYLE))),
    ("cache-control", "no-store"),
    ("retry-after", "3"),
)
FILE_HEADERS = _COMMON


def with_base(page: str, path_below: str) -> str:
    """`page` with a base for its relative addresses, which must precede them: the root of the console, relative to the
    address of the page. "agents/1" has "../"."""
    depth = len(path_below.split("/"))
    base = "../" * (depth - 1) or "./"
    return page.replace("<head>", f'<head><base href="{base}"><script data-depth="{depth}">{_SET_BASE}</script>', 1)
