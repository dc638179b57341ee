"""DATABASE_URL as people write it."""

from __future__ import annotations

import pytest

from robyn_server.core.errors import Misconfigured
from robyn_server.core.urls.dsn import normalise_dsn, without_password


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg"])
def test_every_scheme_becomes_the_plain_one(scheme: str) -> None:
    assert normalise_dsn(f"{scheme}://u@h/d") == "postgresql://u@h/d"


@pytest.mark.parametrize(
    "key", ["channel_binding", "connect_timeout", "keepalives_idle", "pgbouncer", "schema", "connection_limit"]
)
def test_query_keys_that_one_driver_refuses_are_dropped(key: str) -> None:
    assert normalise_dsn(f"postgresql://u@h/d?{key}=1&sslmode=require") == "postgresql://u@h/d?sslmode=require"


def test_a_socket_folder_survives_with_its_spaces() -> None:
    assert normalise_dsn("postgresql:///d?host=/tmp/a b") == "postgresql:///d?host=/tmp/a%20b"


@pytest.mark.parametrize("url", ["mysql://h/d", "h/d", "", "postgresql://h:notaport/d", "postgresql://h:99999/d"])
def test_what_names_no_postgresql_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="DATABASE_URL"):
        normalise_dsn(url)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("postgresql://u@h/d?password=a%2Fb&sslmode=require", "postgresql://u:a%2Fb@h/d?sslmode=require"),
        ("postgresql://h/d?user=me&password=x", "postgresql://me:x@h/d"),
        ("postgresql:///d?host=/run/pg&user=a%40b&password=x", "postgresql://a%40b:x@/d?host=/run/pg"),
        ("postgresql://u:first@h/d?password=second&user=other", "postgresql://u:first@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql:///d", "postgresql:///d"),
    ],
)
def test_credentials_of_the_query_stand_before_the_host(written: str, normal: str) -> None:
    assert normalise_dsn(written) == normal


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:s3cr3t@h/d",
        "postgresql://u@h/d?password=s3cr3t",
        "postgresql://u@h/d?sslpassword=s3cr3t&sslkey=k",
    ],
)
def test_no_form_of_a_password_is_left(dsn: str) -> None:
    for text in (without_password(dsn), without_password(normalise_dsn(dsn))):
        assert "s3cr3t" not in text and text.startswith("postgresql://u@h/d")


def test_a_password_never_reaches_a_message() -> None:
    assert without_password("postgresql://u:s3cr3t@h:1/d") == "postgresql://u@h:1/d"
    with pytest.raises(Misconfigured) as caught:
        normalise_dsn("mysql://u:s3cr3t@h/d")
    assert "s3cr3t" not in str(caught.value)
