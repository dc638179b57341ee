"""Check REDIS_URL, before the client library sees it and without its help: it may not be installed.

The library takes each key of the query as an argument, and fails on an unknown one in words that name no setting.
"""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qsl, urlsplit

from robyn_server.core.errors import Misconfigured

_SCHEMES = ("redis", "rediss", "unix")
_OPTIONS = {"db", "username", "password"}
_TLS_OPTIONS = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}


def check_redis_url(url: str) -> str:
    """Return `url` without white space around it.

    Raises Misconfigured for a URL that names no single Redis or Valkey server. The message never repeats a password.
    """
    parts = _split(url.strip())
    if parts.scheme not in _SCHEMES:
        raise _wrong(f"must start with redis://, rediss:// (TLS) or unix://, not {parts.scheme or 'nothing'}://")
    if parts.scheme == "unix":
        _check_socket(parts)
    else:
        _check_server(parts)
    _check_options(parts)
    return url.strip()


def redis_address(url: str) -> str:
    """Return what of a checked URL is fit for a log line: scheme, host, port and database."""
    parts = urlsplit(url)
    database = dict(parse_qsl(parts.query)).get("db", "")
    if parts.scheme == "unix":
        return f"unix://{parts.path}" + (f"?db={database}" if database else "")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or 6379}/{database or parts.path.strip('/') or 0}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.port == 0:  # urlsplit itself refuses ports over 65535
            raise _wrong("names an impossible port")
    except ValueError:
        raise _wrong("is not a URL") from None
    return parts


def _check_server(parts: SplitResult) -> None:
    if not parts.hostname:
        raise _wrong("names no host")
    if "," in parts.netloc.rpartition("@")[2]:
        raise _wrong("names several hosts; clusters and sentinels are not supported, give the address of one server")
    if parts.path.strip("/"):
        _check_database(parts.path.strip("/"))


def _check_socket(parts: SplitResult) -> None:
    if not parts.path or parts.netloc.rpartition("@")[2]:
        raise _wrong("must name a socket by its absolute path: unix:///run/valkey.sock?db=0")


def _check_options(parts: SplitResult) -> None:
    allowed = _OPTIONS | (_TLS_OPTIONS if parts.scheme == "rediss" else set())
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in allowed:
            raise _wrong(f"has the unknown option {name[:50]!r}; known here: {', '.join(sorted(allowed))}")
        if name == "db":
            _check_database(value)


def _check_database(text: str) -> None:
    if not text.isdecimal():
        raise _wrong("names a database that is no number: redis://host:6379/0")


def _wrong(what: str) -> Misconfigured:
    return Misconfigured(f"REDIS_URL {what}", field="REDIS_URL")
