"""Normalize DATABASE_URL into a form that both drivers (asyncpg and psycopg) accept.

URLs of hosted databases have query keys of libpq (`channel_binding`, `connect_timeout`, `keepalives*`) or of other
clients (`pgbouncer=true`, `schema=`, `supa=`, `workaround=`). asyncpg sends unknown keys as server settings. The server
refuses those.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from robyn_server.core.errors import Misconfigured

_SCHEMES = {"postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg", "postgres+asyncpg"}
_DROPPED = {
    "channel_binding",
    "connect_timeout",
    "connection_limit",
    "gssencmode",
    "pgbouncer",
    "pool_timeout",
    "schema",
    "statement_cache_size",
    "supa",
    "workaround",
}


_SECRETS = {"password", "sslpassword"}


def normalise_dsn(url: str) -> str:
    """`url` with the plain scheme and only query keys that both drivers understand.

    Raises Misconfigured for a URL that names no PostgreSQL database; the message never repeats a password.
    """
    try:
        parts = urlsplit(url.strip())
        port_is_valid = parts.port != 0  # urlsplit itself refuses ports over 65535
    except ValueError as error:
        raise Misconfigured(f"DATABASE_URL is not a URL: {error}", field="DATABASE_URL") from None
    if parts.scheme not in _SCHEMES:
        raise Misconfigured(
            f"DATABASE_URL must start with postgresql://, not {parts.scheme or 'nothing'}://", field="DATABASE_URL"
        )
    if not port_is_valid:
        raise Misconfigured("DATABASE_URL names an impossible port", field="DATABASE_URL")
    kept = {
        key: value
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
        if key not in _DROPPED and not key.startswith("keepalives")
    }
    # A password in the query would pass by everything that hides the one before the host.
    netloc = _with_credentials(parts.netloc, kept.pop("user", ""), kept.pop("password", ""))
    query = urlencode(kept, quote_via=quote, safe="/")
    return f"postgresql://{netloc}{parts.path}" + (f"?{query}" if query else "")


def _with_credentials(netloc: str, user: str, password: str) -> str:
    """Add user and password to `netloc`, where it has none."""
    credentials, _, host = netloc.rpartition("@")
    named, _, secret = credentials.partition(":")
    named, secret = named or quote(user, safe=""), secret or quote(password, safe="")
    if not named and not secret:
        return host
    return f"{named}:{secret}@{host}" if secret else f"{named}@{host}"


def without_password(dsn: str) -> str:
    """Return a normalised `dsn` that is fit for a log line and for an argument."""
    parts = urlsplit(dsn)
    kept = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key not in _SECRETS]
    credentials, at, host = parts.netloc.rpartition("@")
    query = urlencode(kept, quote_via=quote, safe="/")
    netloc = f"{credentials.partition(':')[0]}{at}{host}"
    return f"{parts.scheme}://{netloc}{parts.path}" + (f"?{query}" if query else "")
