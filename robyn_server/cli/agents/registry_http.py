"""A client for the registry of a running server. HTTP errors become the errors of `core`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any
from urllib.parse import quote
from uuid import UUID

from robyn_server.cli.http.pages import Rows, pages_by_cursor, pages_by_offset
from robyn_server.cli.http.server import ServerClient
from robyn_server.cli.http.sse import split_lines
from robyn_server.core.errors import Conflict, NotFound

PATH = "/agents/instances"
BRAKES = "/agents/brakes"
JOBS = "/agents/jobs"
PAGE = 100
_MIN_ID_PREFIX = 4
STATUSES = ("active", "draining", "inactive")
NULL = object()
"""A field that becomes null."""

Instance = dict[str, Any]


class RegistryClient(ServerClient):
    """Methods raise Unavailable if the server does not answer, or the error that it answers (`core/http_status.py`)."""

    def search(self, filters: Mapping[str, Any]) -> Iterator[Instance]:
        """Yield all matching instances, page by page. Filters that are None are not sent."""
        return self.pages(PATH, "instances", {name: value for name, value in filters.items() if value is not None})

    def pages(self, path: str, name: str, params: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the items called `name` of all pages."""

        def page(size: int, cursor: str | None) -> Mapping[str, Any]:
            after = {} if cursor is None else {"cursor": cursor}
            answer: Mapping[str, Any] = self.request(
                "GET", path, params={**(params or {}), "limit": size, **after}
            ).json()
            return answer

        return pages_by_cursor(page, name, PAGE)

    def brakes(self) -> Iterator[dict[str, Any]]:
        """Yield all brakes, the oldest first, page by page."""

        def page(size: int, offset: int) -> Rows:
            rows: Rows = self.request("GET", BRAKES, params={"limit": size, "offset": offset}).json()["brakes"]
            return rows

        return pages_by_offset(page, None, PAGE)

    def jobs(self, filters: Mapping[str, Any], most: int | None) -> Iterator[dict[str, Any]]:
        """Yield the matching jobs, at most `most`, the newest first. Filters that are None are not sent."""
        given = {name: value for name, value in filters.items() if value is not None}
        return islice(self.pages(JOBS, "jobs", given), most)

    def get_job(self, job_id: str) -> dict[str, Any]:
        """A job with its offers. Raises NotFound."""
        return self.get_one(JOBS, job_id)

    def cancel_job(self, job_id: str, reason: str, grace_seconds: float) -> dict[str, Any]:
        """Cancel a job, and return it as it is then. Raises NotFound."""
        body = {"reason": reason, "grace_seconds": grace_seconds}
        found: dict[str, Any] = self.request("POST", f"{JOBS}/{quote(job_id, safe='')}/cancel", json=body).json()
        return found

    def release_brake(self, agent_id: str) -> None:
        self.delete(BRAKES, agent_id)

    def get_one(self, path: str, agent_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.request("GET", f"{path}/{quote(agent_id, safe='')}").json()
        return found

    def set_fields(self, path: str, agent_id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields of a manifest or a configuration; create it if there is none.

        None: the field stays. NULL: it becomes null.
        """
        given = {name: None if value is NULL else value for name, value in fields.items() if value is not None}
        where = f"{path}/{quote(agent_id, safe='')}"
        try:
            changed: dict[str, Any] = self.request("PATCH", where, json=given).json()
        except NotFound:
            changed = self.request("PUT", where, json=given).json()
        return changed

    def delete(self, path: str, agent_id: str) -> None:
        self.request("DELETE", f"{path}/{quote(agent_id, safe='')}")

    def find(self, which: str, agent_id: str | None = None) -> Instance:
        """Return the instance (of this type of agent) with this registration id, instance id, or unique prefix of a
        registration id, in any status.

        Raises NotFound, and Conflict if there are several.
        """
        if _is_uuid(which):
            try:
                instance = self.get(which)
            except NotFound:
                pass  # it may be the id of an instance
            else:
                if agent_id in (None, instance["agent_id"]):
                    return instance
        instances = [each for status in STATUSES for each in self.search({"status": status, "agent_id": agent_id})]
        found = [each for each in instances if each["instance_id"] == which]
        if not found and _is_id_prefix(which):
            found = [each for each in instances if each["registration_id"].startswith(which.lower())]
        if not found:
            raise NotFound(f"no registration and no instance has the id {which}")
        if len(found) > 1:
            named = ", ".join(f"{each['registration_id']} ({each['agent_id']})" for each in found)
            raise Conflict(f"several instances have the id {which}; name a registration: {named}")
        return found[0]

    def get(self, registration_id: str) -> Instance:
        found: Instance = self.request("GET", f"{PATH}/{registration_id}").json()
        return found

    def history(self, registration_id: str) -> dict[str, Any]:
        """Registrations and events of an instance, its circuit breaker, and numbers of its jobs."""
        found: dict[str, Any] = self.request("GET", f"{PATH}/{registration_id}/history").json()
        return found

    def register(self, fields: Mapping[str, Any], key: str) -> Instance:
        body = {name: value for name, value in fields.items() if value is not None}
        registered: Instance = self.request("POST", PATH, json=body, headers={"idempotency-key": key}).json()
        return registered

    def heartbeat(
        self, registration_id: str, epoch: int, jobs: Sequence[Mapping[str, Any]] | None = None
    ) -> dict[str, Any]:
        """Send a heartbeat that extends the leases of `jobs`, and return the answer. None: the instance takes none."""
        body: dict[str, Any] = {"epoch": epoch, "health": "healthy", "load": {"workload": len(jobs or ())}}
        if jobs:
            body["jobs"] = list(jobs)
        answer: dict[str, Any] = self.request("POST", f"{PATH}/{registration_id}/heartbeat", json=body).json()
        return answer

    def drain(self, instance: Instance, reason: str) -> Instance:
        path = f"{PATH}/{instance['registration_id']}/drain"
        drained: Instance = self.request("POST", path, json={"epoch": instance["epoch"], "reason": reason}).json()
        return drained

    def cordon(self, registration_id: str, reason: str) -> Instance:
        path = f"{PATH}/{registration_id}/cordon"
        cordoned: Instance = self.request("POST", path, json={"reason": reason}).json()
        return cordoned

    def uncordon(self, registration_id: str) -> Instance:
        uncordoned: Instance = self.request("POST", f"{PATH}/{registration_id}/uncordon").json()
        return uncordoned

    def deregister(self, registration_id: str, epoch: int, reason: str) -> None:
        self.request("DELETE", f"{PATH}/{registration_id}", params={"epoch": epoch, "reason": reason})

    @contextmanager
    def lines(self, path: str, params: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[Iterator[str]]:
        """Yield the lines of a stream."""
        params = {name: value for name, value in params.items() if value is not None}
        with self.stream("GET", path, params=params, headers=dict(headers)) as answer:
            yield split_lines(answer.iter_bytes())


def _is_id_prefix(text: str) -> bool:
    """Return whether the text can be a prefix of a registration id. Shorter ones are typing errors."""
    return len(text) >= _MIN_ID_PREFIX and not set(text.lower()) - set("0123456789abcdef-")


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False
