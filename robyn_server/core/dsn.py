"""DATABASE_URL as people write it, made into what both drivers (asyncpg and psycopg) accept.

Hosted databases hand out URLs with query keys of libpq (`channel_binding`, `connect_timeout`, `keepalives*`) or of other
clients (`pgbouncer=true`, `schema=`, Supabase's `supa=` and `workaround=`). asyncpg sends keys that it does not know as server settings, and the server refuses them.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from .errors import Misconfigured

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


def normalise_dsn(url: str) -> str:
    """`url` with the plain scheme and only query keys that both drivers understand.

    Raises Misconfigured for a URL that names no PostgreSQL database; the message never repeats a password.
    """
    try:
        parts = urlsplit(url.strip())
        port_is_valid = parts.port != 0  # urlsplit itself refuses what is over 65535
    except ValueError as error:
        raise Misconfigured(f"DATABASE_URL is not a URL: {error}", field="DATABASE_URL") from None
    if parts.scheme not in _SCHEMES:
        raise Misconfigured(
            f"DATABASE_URL must start with postgresql://, not {parts.scheme or 'nothing'}://", field="DATABASE_URL"
        )
    if not port_is_valid:
        raise Misconfigured("DATABASE_URL names an impossible port", field="DATABASE_URL")
    kept = [
        (key, value)
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
        if key not in _DROPPED and not key.startswith("keepalives")
    ]
    query = urlencode(kept, quote_via=quote, safe="/")
    return f"postgresql://{parts.netloc}{parts.path}" + (f"?{query}" if query else "")


def without_password(dsn: str) -> str:
    """`dsn` fit for a log line."""
    parts = urlsplit(dsn)
    if "@" not in parts.netloc:
        return dsn
    credentials, _, host = parts.netloc.rpartition("@")
    user = credentials.partition(":")[0]
    return dsn.replace(parts.netloc, f"{user}@{host}", 1)
