"""REDIS_URL names one server, and is shown without its password."""

from __future__ import annotations

import pytest

from robyn_server.core.errors import Misconfigured
from robyn_server.core.urls.redis_url import check_redis_url, redis_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", "redis://cache:6379/0"),
        (" redis://user:secret@cache:6380/2 ", "redis://cache:6380/2"),
        ("rediss://:secret@cache:6380/?db=4&ssl_ca_certs=/ca.pem", "rediss://cache:6380/4"),
        ("redis://[::1]:6379/1", "redis://[::1]:6379/1"),
        ("unix:///run/valkey.sock", "unix:///run/valkey.sock"),
        ("unix:///run/valkey.sock?db=1&password=secret", "unix:///run/valkey.sock?db=1"),
    ],
)
def test_a_url_is_accepted_and_shown_without_its_password(url: str, address: str) -> None:
    assert redis_address(check_redis_url(url)) == address


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "must start with redis://"),
        ("http://:secret@cache", "not http://"),
        ("redis+sentinel://:secret@cache/mymaster", "must start with"),
        ("redis://:secret@/0", "names no host"),
        ("redis://:secret@one:6379,two:6379", "not a URL"),
        ("redis://:secret@one,two", "several hosts"),
        ("redis://:secret@cache:0", "impossible port"),
        ("redis://:secret@cache:70000", "not a URL"),
        ("redis://:secret@cache/main", "no number"),
        ("redis://:secret@cache?db=main", "no number"),
        ("redis://:secret@cache?socket_timeout=1", "unknown option 'socket_timeout'"),
        ("redis://:secret@cache?ssl_ca_certs=/ca.pem", "unknown option"),
        ("unix://run/valkey.sock", "absolute path"),
        ("unix://", "absolute path"),
    ],
)
def test_a_url_that_names_no_single_server_is_refused(url: str, reason: str) -> None:
    with pytest.raises(Misconfigured, match=reason) as error:
        check_redis_url(url)
    assert error.value.field == "REDIS_URL"
    assert "secret" not in str(error.value)
