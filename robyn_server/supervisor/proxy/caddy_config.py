"""The configuration of Caddy, as a value: one origin for HTTP, streams and WebSockets.

Rules:

1. A web process gets a body whole, with its length, and within the limits. Robyn aborts on a malformed chunk, has no
   deadlines, and keeps bodies of any length. Where Caddy passes on a body that breaks off, it is short of its length or
   has none, and the web process refuses it (`AGENTHALL_BEHIND_PROXY`).
2. Only `/ws` is upgraded, and only to a WebSocket. Robyn answers no handshake.
3. The headers that say where a request came from are Caddy's own. A client's are dropped.
4. Streams and WebSockets live as long as they like; a client that does not read loses its connection.
5. Nothing is administered over the network, and nothing is written outside the state folder.

The names are those of Caddy's JSON: https://caddyserver.com/docs/json/.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from .problems import OTHER_NAME, REQUEST_ID, TOO_LARGE, error_routes, problem_route

Json: TypeAlias = dict[str, Any]

HTTPS_PORT = 443

HEADER_BYTES = 64 * 1024
"""Of a request line and its headers, as deploy/nginx.conf has it: room for long tokens."""

DEADLINES: Json = {
    "read_header_timeout": "10s",
    "read_idle_timeout": "10s",  # without a byte of the body
    "write_idle_timeout": "30s",  # with a byte that the client does not take
    "idle_timeout": "75s",  # between two requests
}

UPSTREAM_IDLE = "3s"
"""Actix closes a connection that was idle for 5 s. A request on one that it is closing would be lost."""

_SOCKETS: Json = {"path_regexp": {"pattern": "^/ws/?$"}}
_WEBSOCKET: Json = {"header_regexp": {"Upgrade": {"pattern": "(?i)^websocket$"}}}

_CHUNKED: Json = {"header": {"Transfer-Encoding": ["*"]}}

_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")

_DROPPED = ["Forwarded", "X-Real-Ip", "Via", "Expect", "Te", "Trailer"]
"""Headers about the origin of a request that Caddy does not replace, as it replaces those of `_FORWARDED`.

Also the wish for a 100, which Caddy grants itself, and trailers, on which Robyn aborts.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyOptions:
    """Values of the configuration. `length_port`: a free port of loopback, for Caddy's own use.

    `address` and `port`: where Caddy listens; `address` is numeric. `domain`: the name for which it obtains
    certificates; without one it speaks plain HTTP. `certificates`: `public`, `internal`, or the URL of an ACME
    directory. `redirect_port`: of plain HTTP, beside a domain; 0: none. `state`: the folder for certificates.
    """

    address: str
    port: int
    web_port: int
    sockets_port: int
    length_port: int
    state: Path
    domain: str = ""
    certificates: str = "public"
    redirect_port: int = 80
    max_body_bytes: int
    drain_seconds: float
    as_json: bool = True


def caddy_config(options: ProxyOptions) -> Json:
    return {
        "admin": {"disabled": True, "config": {"persist": False}},
        "logging": {"logs": {"default": _log(options)}},
        "storage": {"module": "file_system", "root": str(options.state)},
        "apps": {"http": _http(options), **(_certificates(options) if options.domain else {})},
    }


def _log(options: ProxyOptions) -> Json:
    """Warnings and errors, without the ticket of a WebSocket, which is a credential."""
    without_ticket = {"filter": "query", "actions": [{"type": "delete", "parameter": "ticket"}]}
    wrapped = {"format": "json" if options.as_json else "console"}
    encoder = {"format": "filter", "wrap": wrapped, "fields": {"request>uri": without_ticket}}
    return {"level": "WARN", "exclude": ["admin"], "writer": {"output": "stderr"}, "encoder": encoder}


def _http(options: ProxyOptions) -> Json:
    servers = {"agenthall": _server(options), "lengths": _length_server(options)}
    if options.domain and options.redirect_port:
        servers["redirect"] = _redirect_server(options)
    return {
        "http_port": options.redirect_port or 80,
        "https_port": options.port if options.domain else HTTPS_PORT,
        "grace_period": f"{options.drain_seconds}s",
        "servers": servers,
    }


def _server(options: ProxyOptions) -> Json:
    found: Json = {
        "listen": [_listen(options.address, options.port)],
        "protocols": ["h1", "h2"] if options.domain else ["h1"],
        "max_header_bytes": HEADER_BYTES,
        **DEADLINES,
        "routes": [*_refusals(options), *_routes_behind(options)],
        "errors": {"routes": error_routes()},
        "automatic_https": {"disable": True},
    }
    if options.domain:
        found["automatic_https"] = {"disable_redirects": True}
        found["tls_connection_policies"] = [{}]
        found["strict_sni_host"] = True
    return found


def _listen(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _redirect_server(options: ProxyOptions) -> Json:
    port = "" if options.port == HTTPS_PORT else f":{options.port}"
    location = f"https://{options.domain}{port}{{http.request.uri}}"
    answer = {"handler": "static_response", "status_code": 308, "headers": {"Location": [location]}, "close": True}
    return {
        "listen": [_listen(options.address, options.redirect_port)],
        "protocols": ["h1"],
        "max_header_bytes": HEADER_BYTES,
        **DEADLINES,
        "automatic_https": {"disable": True},
        "routes": [{"handle": [answer]}],
    }


def _refusals(options: ProxyOptions) -> list[Json]:
    """Routes that pass a request on to the next, except for those that refuse it."""
    routes = [{"handle": [REQUEST_ID]}]
    if options.domain:
        elsewhere = {"not": [{"host": [options.domain]}]}
        routes.append(problem_route([elsewhere], *OTHER_NAME))
    tunnel = problem_route([{"method": ["CONNECT"]}], 400, "Bad Request", "This server is no tunnel.")
    spelled = {"handle": [{"handler": "headers", "request": {"replace": {"Content-Type": [_CAPITALS]}}}]}
    multipart = problem_route(
        [{"header_regexp": {"Content-Type": {"pattern": "multipart/form-data"}}}],
        400,
        "Bad Request",
        "multipart bodies are not accepted here; send application/json",
    )
    return [*routes, tunnel, _CLOSE_AFTER_CHUNKS, spelled, multipart, *_body_limit(options.max_body_bytes)]


_CLOSE_AFTER_CHUNKS: Json = {
    "match": [_CHUNKED],
    "handle": [{"handler": "headers", "response": {"set": {"Connection": ["close"]}}}],
}
"""Go drops a length beside chunks, unseen. Another reader of the connection may go by the length, so nothing may follow
(RFC 9112, section 6.1)."""


def _body_limit(limit: int) -> list[Json]:
    """Refuse a longer body by its length, before it is sent, and any other while it is read."""
    length = "{http.request.header.Content-Length}"
    longer = {
        "header_regexp": {"Content-Length": {"pattern": f"^[0-9]{{{len(str(limit))},18}}$"}},
        "expression": f"{length} != '' && int({length}) > {limit}",
    }
    return [
        problem_route([longer], 413, "Content Too Large", TOO_LARGE),
        {"handle": [{"handler": "request_body", "max_size": limit}]},
    ]


_CAPITALS = {"search_regexp": "(?i)^multipart/form-data", "replace": "Multipart/Form-Data"}
"""Robyn takes forms apart before the server is called, and knows their media type by its lower case. With capitals,
which mean the same (RFC 9110, section 8.3.1), a form reaches the project's own routes as it was sent, and all other
routes refuse it."""


def _routes_behind(options: ProxyOptions) -> list[Json]:
    not_upgraded = {"handler": "headers", "request": {"delete": ["Upgrade"]}}
    return [
        {"match": [{"not": [_SOCKETS | _WEBSOCKET]}], "handle": [not_upgraded]},
        {"match": [_SOCKETS], "handle": [_reverse_proxy(options.sockets_port)], "terminal": True},
        {"match": [_CHUNKED], "handle": [_reverse_proxy(options.length_port, version="h2c")], "terminal": True},
        {"handle": [_web_proxy(options)]},
    ]


def _length_server(options: ProxyOptions) -> Json:
    """A second step for chunked bodies, over HTTP/2, which has no chunks.

    Caddy keeps the chunks of a client even where it has read the body to its end. Here a body that has ended gets its
    length, and one that breaks off resets its stream before anything is sent to the web process.
    """
    kept = {name: [f"{{http.request.header.{name}}}"] for name in _FORWARDED}
    return {
        "listen": [f"127.0.0.1:{options.length_port}"],
        "protocols": ["h1", "h2c"],
        "max_header_bytes": 2 * HEADER_BYTES,
        "automatic_https": {"disable": True},
        "routes": [{"handle": [REQUEST_ID, _web_proxy(options, kept)]}],
        "errors": {"routes": error_routes()},
    }


def _web_proxy(options: ProxyOptions, headers: Json | None = None) -> Json:
    proxy = _reverse_proxy(options.web_port, headers)
    proxy["transport"] |= {
        "response_header_timeout": "300s",  # POST /agents/sync answers when its pass ends
        "keep_alive": {"idle_timeout": UPSTREAM_IDLE, "max_idle_conns_per_host": 64},
    }
    # One byte more than the limit: a body of exactly the limit is then known to have ended.
    return proxy | {"request_buffers": options.max_body_bytes + 1}


def _reverse_proxy(port: int, headers: Json | None = None, version: str = "1.1") -> Json:
    transport = {"protocol": "http", "versions": [version], "compression": False, "dial_timeout": "3s"}
    changed = {"delete": _DROPPED, "set": {"X-Request-Id": ["{agenthall_id}"], **(headers or {})}}
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"127.0.0.1:{port}"}],
        "transport": transport,
        "headers": {"request": changed},
    }


def _certificates(options: ProxyOptions) -> Json:
    automation = {"policies": [{"subjects": [options.domain], "issuers": [_issuer(options.certificates)]}]}
    return {
        "tls": {"certificates": {"automate": [options.domain]}, "automation": automation},
        "pki": {"certificate_authorities": {"local": {"install_trust": False}}},
    }


def _issuer(certificates: str) -> Json:
    if certificates == "internal":
        return {"module": "internal"}
    return {"module": "acme"} if certificates == "public" else {"module": "acme", "ca": certificates}
