"""A running server's registry over HTTP, and its errors as ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx

from robyn_server.core.errors import (
    AgenthallError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    Misconfigured,
    NotFound,
    Unauthenticated,
    Unavailable,
)

from .server_address import ServerAddress

PATH = "/agents/instances"
PAGE = 100
_SHORTEST = 4
STATUSES = ("active", "draining", "inactive")
SECONDS = 15.0
SILENT_SECONDS = 60.0
"""A stream that says nothing for so long, not even a comment, is broken."""

Instance = dict[str, Any]

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_ERRORS: Mapping[int, type[AgenthallError]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
}
_HINTS = {
    "organization_required": " Or use --tenant (AGENTHALL_TENANT).",
    "key_missing": " Use --api-key (AGENTHALL_API_KEY); `agenthall keys create` makes one.",
}


class Registry:
    """Raises Unavailable when the server is away, Unauthenticated, Forbidden, NotFound, Conflict, Gone, Invalid as it answers."""

    def __init__(self, address: ServerAddress, api_key: str | None, tenant: str | None) -> None:
        url = address.url
        headers = {"x-api-key": api_key or "", "x-organization-id": tenant or ""}
        given = {name: value for name, value in headers.items() if value}
        if not url.startswith(("http://", "https://")):
            raise Misconfigured(f"--url: {url!r} is no http or https address", field="AGENTHALL_URL")
        try:
            is_here = httpx.URL(url).host in _LOOPBACK  # and not behind a proxy
            self._http = httpx.Client(base_url=url, headers=given, timeout=SECONDS, trust_env=not is_here)
        except (httpx.InvalidURL, ValueError) as error:
            raise Misconfigured(f"--url, --api-key, --tenant: {error}") from None
        self._address = address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._http.close()

    def search(self, wanted: Mapping[str, Any]) -> Iterator[Instance]:
        """All that fit, page by page. What is None is not asked for."""
        asked = {name: value for name, value in wanted.items() if value is not None}
        cursor: dict[str, str] = {}
        while True:
            page = self.ask("GET", PATH, params={**asked, "limit": PAGE, **cursor}).json()
            yield from page["instances"]
            if not page.get("next_cursor"):
                return
            cursor = {"cursor": page["next_cursor"]}

    def find(self, which: str) -> Instance:
        """By the registration's id, else by the instance's, else by a beginning of a registration's; of whatever status. Raises NotFound,
        and Conflict where that fits several."""
        if _is_uuid(which):
            try:
                return self.get(which)
            except NotFound:
                pass  # an instance's id may look like that, too
        there = [each for status in STATUSES for each in self.search({"status": status})]
        found = [each for each in there if each["instance_id"] == which]
        if not found and _is_beginning(which):
            found = [each for each in there if each["registration_id"].startswith(which.lower())]
        if not found:
            raise NotFound(f"no registration and no instance has the id {which}")
        if len(found) > 1:
            named = ", ".join(f"{each['registration_id']} ({each['agent_id']})" for each in found)
            raise Conflict(f"several instances have the id {which}; name a registration: {named}")
        return found[0]

    def get(self, registration_id: str) -> Instance:
        found: Instance = self.ask("GET", f"{PATH}/{registration_id}").json()
        return found

    def register(self, said: Mapping[str, Any], key: str) -> Instance:
        body = {name: value for name, value in said.items() if value is not None}
        registered: Instance = self.ask("POST", PATH, json=body, headers={"idempotency-key": key}).json()
        return registered

    def beat(self, registration_id: str, epoch: int) -> float:
        """The seconds until the next one is due."""
        body = {"epoch": epoch, "health": "healthy", "load": {"workload": 0}}
        answer = self.ask("POST", f"{PATH}/{registration_id}/heartbeat", json=body).json()
        return float(answer["heartbeat_interval_seconds"])

    def drain(self, instance: Instance, reason: str) -> Instance:
        path = f"{PATH}/{instance['registration_id']}/drain"
        drained: Instance = self.ask("POST", path, json={"epoch": instance["epoch"], "reason": reason}).json()
        return drained

    def deregister(self, registration_id: str, epoch: int, reason: str) -> None:
        self.ask("DELETE", f"{PATH}/{registration_id}", params={"epoch": epoch, "reason": reason})

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._told():
            answer = self._http.request(method, path, **options)
        _check(answer)
        return answer

    @contextmanager
    def lines(self, path: str, params: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[Iterator[str]]:
        """A stream's lines."""
        timeout = httpx.Timeout(SECONDS, read=SILENT_SECONDS)
        asked = {name: value for name, value in params.items() if value is not None}
        with (
            self._told(),
            self._http.stream("GET", path, params=asked, headers=dict(headers), timeout=timeout) as answer,
        ):
            if answer.is_error:
                answer.read()
            _check(answer)
            yield answer.iter_lines()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
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
        detail, code = f"{answer.url} answers {answer.status_code}, and not as an Agenthall server does", "stranger"
    kind = _ERRORS.get(answer.status_code, Unavailable if answer.is_server_error else AgenthallError)
    raise kind(detail + _HINTS.get(code, ""), code=code)


def _is_beginning(text: str) -> bool:
    """Of a registration's id, as a table shows it; shorter ones are typing errors."""
    return len(text) >= _SHORTEST and not set(text.lower()) - set("0123456789abcdef-")


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False
