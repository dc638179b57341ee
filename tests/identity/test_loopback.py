"""A server that asks for no credentials is for its own machine, and a proxy in front of it would lend that machine to
everybody."""

from __future__ import annotations

import pytest

from robyn_server.core.access.principal import LOCAL
from robyn_server.core.errors import Forbidden
from robyn_server.identity.authenticator import Authenticator
from robyn_server.settings import Settings


@pytest.fixture
def identity() -> Authenticator:
    return Authenticator(Settings(_env_file=None))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-forwarded-for": "127.0.0.1"},
        {"x-forwarded-for": "::1, 127.0.0.1"},
        {"forwarded": 'for="[::1]:4711";proto=http'},
        {"forwarded": "for=127.0.0.1:80"},
        {"origin": "http://localhost:3000", "host": "127.0.0.1:2024"},
        {"origin": "http://[::1]:3000", "host": "[::1]:2024"},
        {"host": "studio.localhost:2024"},
        {"host": "host.docker.internal:2024"},
        {"host": "host.containers.internal"},
        {"forwarded": "For=127.0.0.1;for=[::1]"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "http://localhost:3000"},
    ],
)
async def test_whoever_comes_from_this_machine_is_local(identity: Authenticator, headers: dict[str, str]) -> None:
    assert await identity.identify(headers) == LOCAL


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-for": "192.0.2.7"},
        {"x-forwarded-for": "127.0.0.1, 192.0.2.7"},
        {"x-forwarded-for": "unknown"},
        {"x-forwarded-for": "laptop.internal"},
        {"x-real-ip": "192.0.2.7"},
        {"forwarded": 'for="[2001:db8::1]"'},
        {"forwarded": "proto=https;for=192.0.2.7"},
        {"forwarded": "for=127.0.0.1;for=8.8.8.8"},
        {"forwarded": "for=127.0.0.1;FOR=8.8.8.8"},
        {"forwarded": 'for=127.0.0.1, for="[::1]"; For=8.8.8.8'},
        {"forwarded": "for=127.0.0.1;proto=http, proto=https"},
        {"x-forwarded-for": "127.0.0.1;8.8.8.8"},
    ],
)
async def test_whoever_was_forwarded_from_elsewhere_is_refused(
    identity: Authenticator, headers: dict[str, str]
) -> None:
    with pytest.raises(Forbidden) as refused:
        await identity.identify(headers)
    assert refused.value.code == "forwarded_without_auth"


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost.evil.example", "https://192.0.2.7", "http://wiki.internal"],
)
async def test_a_page_from_the_web_is_refused(identity: Authenticator, origin: str) -> None:
    with pytest.raises(Forbidden) as refused:
        await identity.identify({"origin": origin, "host": "127.0.0.1:2024"})
    assert refused.value.code == "origin_refused"


async def test_a_page_that_is_listed_may_use_it() -> None:
    identity = Authenticator(Settings(_env_file=None, cors_origins="https://studio.example, http://localhost:3000"))
    assert await identity.identify({"origin": "https://studio.example"}) == LOCAL


@pytest.mark.parametrize("site", ["cross-site", "Cross-Site", "", "anything"])
async def test_what_another_site_causes_without_an_origin_is_refused(identity: Authenticator, site: str) -> None:
    """An image, a script, a form with GET, a link: the browser sends no Origin with it."""
    with pytest.raises(Forbidden) as refused:
        await identity.identify({"sec-fetch-site": site, "host": "127.0.0.1:2024"})
    assert refused.value.code == "origin_refused"


async def test_the_name_of_a_listed_origin_is_this_machines() -> None:
    identity = Authenticator(Settings(_env_file=None, cors_origins="http://gateway:2024, *"))
    assert await identity.identify({"host": "gateway:2024"}) == LOCAL
    with pytest.raises(Forbidden):
        await identity.identify({"host": "other"})


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:2024",
        "192.0.2.7",
        "gateway",
        "metadata.google.internal",
        "docker.internal.evil.example",
        "[",
        "*",
    ],
)
async def test_a_name_of_somebody_elses_that_leads_here_is_refused(identity: Authenticator, host: str) -> None:
    with pytest.raises(Forbidden) as refused:
        await identity.identify({"host": host})
    assert refused.value.code == "host_refused"
