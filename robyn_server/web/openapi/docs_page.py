"""The routes as an HTML page: one file, without scripts or external resources."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from robyn_server import __version__
from robyn_server.web.http.content_policy import source_hash
from robyn_server.web.http.routing import Route

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --get: #1f7a4d; --post: #2459b3; --other: #8a5a00; --delete: #b3261e }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 3rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line) }
table { border-collapse: collapse; width: 100% } td { padding: .35rem .5rem; border-bottom: 1px solid var(--soft); vertical-align: top }
code { font: 14px ui-monospace, monospace; overflow-wrap: anywhere } .method { font-weight: 700; width: 5rem; color: var(--other) }
.GET { color: var(--get) } .POST { color: var(--post) } .DELETE { color: var(--delete) } .unbuilt { opacity: .55 }
.mark { font-size: 12px; border: 1px solid var(--line); border-radius: 4px; padding: 0 .3rem; white-space: nowrap }
"""

PLAIN_HEADERS = (
    (
        "content-security-policy",
        f"default-src 'none'; style-src {source_hash(_STYLE)}; base-uri 'self'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-cache"),
)


def docs_page(routes: Sequence[Route]) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Agenthall API</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body>{operation_list(routes)}</body></html>"
    )


def operation_list(routes: Sequence[Route]) -> str:
    """A heading, and a table for each tag."""
    by_tag = sorted(routes, key=lambda route: route.tag != "System")  # a stable sort keeps the table's order
    sections = "".join(_section(tag, list(group)) for tag, group in groupby(by_tag, key=lambda route: route.tag))
    return (
        f"<h1>Agenthall {escape(__version__)}</h1><p>The LangGraph API. Machine readable: "
        f'<a href="openapi.json">openapi.json</a>.</p>{sections}'
    )


def _section(tag: str, routes: Sequence[Route]) -> str:
    rows = "".join(_row(route) for route in routes)
    return f"<h2>{escape(tag)}</h2><table>{rows}</table>"


def _row(route: Route) -> str:
    mark = ' <span class="mark">not offered yet</span>' if route.not_built else ""
    body = f" <code>{escape(route.body.__name__)}</code>" if route.body is not None else ""
    return (
        f'<tr{" class=unbuilt" if route.not_built else ""}><td class="method {escape(route.method)}">{escape(route.method)}</td>'
        f"<td><code>{escape(route.path)}</code></td><td>{escape(route.summary)}{body}{mark}</td></tr>"
    )
