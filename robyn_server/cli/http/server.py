"""A client for the HTTP API of a running server. HTTP errors become the errors of `core`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from robyn_server.core.errors import Misconfigured, Unavailable
from robyn_server.core.http_status import error_class
from robyn_server.core.urls.hosts import LOOPBACK

from .address import ServerAddress

TIMEOUT_SECONDS = 15.0
STREAM_TIMEOUT_SECONDS = 60.0
"""A stream without any data for this long, not even a comment, is broken."""

_HINTS = {
    "organization_required": " Or use --tenant (AGENTHALL_TENANT).",
    "key_missing": " Use --api-key (AGENTHALL_API_KEY); `agenthall keys create` makes one.",
}


class ServerClient:
    """Methods raise Unavailable if the server does not answer, or the error that it answers (`core/http_status.py`)."""

    def __init__(self, address: ServerAddress, api_key: str | None, tenant: str | None) -> None:
        url = address.url
        headers = {"x-api-key": api_key or "", "x-organization-id": tenant or ""}
        given = {name: value for name, value in headers.items() if value}
        if not url.startswith(("http://", "https://")):
            raise Misconfigured(f"--url: {url!r} is no http or https URL", field="AGENTHALL_URL")
        try:
            is_local = httpx.URL(url).host in LOOPBACK  # so no proxy is used
            self._http = httpx.Client(base_url=url, headers=given, timeout=TIMEOUT_SECONDS, trust_env=not is_local)
        except (httpx.InvalidURL, ValueError) as error:
            raise Misconfigured(f"--url, --api-key, --tenant: {error}") from None
        self._address = address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._http.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._unavailable_without_server():
            answer = self._http.request(method, path, **options)
        _check(answer)
        return answer

    @contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """Yield a response whose body has not been read, after its status was checked."""
        timeout = httpx.Timeout(TIMEOUT_SECONDS, read=STREAM_TIMEOUT_SECONDS)
        with (
            self._unavailable_without_server(),
            self._http.stream(method, path, timeout=timeout, **options) as answer,
        ):
            if answer.is_error:
                answer.read()
            _check(answer)
            yield answer

    @contextmanager
    def _unavailable_without_server(self) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError:
            raise Misconfigured("an argument of the command is not UTF-8 text") from None
        except httpx.TransportError as error:
            detail = str(error) or type(error).__name__
            where = f"no server at {self._address.url} ({self._address.reason}): {detail}"
            raise Unavailable(f"{where}; name another with --url (AGENTHALL_URL)") from None


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    try:
        problem = answer.json()
        detail, code = str(problem["detail"]), str(problem.get("code"))
    except (ValueError, KeyError, TypeError):
        detail, code = f"{answer.url} answers {answer.status_code}, and is not an Agenthall server", "unknown"
    raise error_class(answer.status_code)(detail + _HINTS.get(code, ""), code=code)
