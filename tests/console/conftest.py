"""One browser for all tests of the console in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from browser import built_console, open_browser
from databases import fresh_database
from playwright.async_api import Browser
from servers.live_server import LiveServer, live_server
from users.console_users import SECRET


@pytest.fixture(scope="package")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        built_console()
        yield opened


@pytest.fixture(scope="package")
async def shared_server(browser: Browser, postgres: str, template: str) -> AsyncIterator[LiveServer]:
    """A server without users, for tests that leave no trace. It starts after the console is built."""
    async with fresh_database(postgres, template) as url, live_server(url) as server:
        yield server


@pytest.fixture(scope="package")
async def keys_server(browser: Browser, postgres: str, template: str) -> AsyncIterator[LiveServer]:
    """A server that asks for an API key. It starts after the console is built."""
    async with fresh_database(postgres, template) as url, live_server(url, AUTH_MODE="keys") as server:
        yield server


@pytest.fixture(scope="package")
async def jwt_server(browser: Browser, postgres: str, template: str) -> AsyncIterator[LiveServer]:
    """A server that asks for a token. It starts after the console is built."""
    settings = {"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET}
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as server:
        yield server
