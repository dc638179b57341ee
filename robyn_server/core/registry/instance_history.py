"""The history of an instance: what happened to it, and the registrations that follow from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

_BEGINS = {"registered", "reconnected"}
_ENDS = {"deregistered", "inactive"}


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """`at`: ISO 8601. `epoch`: the registration at that time."""

    at: str
    kind: str
    epoch: int
    detail: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {"at": self.at, "kind": self.kind, "epoch": self.epoch, "detail": dict(self.detail)}


@dataclass(frozen=True, slots=True)
class PastRegistration:
    """`ended_at`: None while it lasts. `reason`: why it ended; `superseded` by the next one."""

    epoch: int
    registered_at: str
    version: str | None
    ended_at: str | None = None
    reason: str | None = None

    def ended(self, at: str, reason: str) -> PastRegistration:
        """Return it with this end, unless it has ended before."""
        return self if self.ended_at is not None else replace(self, ended_at=at, reason=reason)

    def to_dict(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "registered_at": self.registered_at,
            "ended_at": self.ended_at,
            "reason": self.reason,
            "version": self.version,
        }


@dataclass(frozen=True, slots=True)
class InstanceHistory:
    """`entries`: the newest first. `breaker`: None if it takes no jobs. `jobs`: numbers by how they ended.

    `health_check`: the last check over HTTP; None if there is none.
    """

    entries: Sequence[HistoryEntry]
    breaker: Mapping[str, Any] | None
    jobs: Mapping[str, int]
    health_check: Mapping[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "registrations": [each.to_dict() for each in registrations_of(self.entries)],
            "breaker": None if self.breaker is None else {**self.breaker, "opened_at": self._opened_at()},
            "jobs": dict(self.jobs),
            "health_check": self.health_check,
            "events": [each.to_dict() for each in self.entries],
        }

    def _opened_at(self) -> str | None:
        """When the circuit breaker opened last; None if it is closed."""
        if self.breaker is None or self.breaker["state"] == "closed":
            return None
        return next((each.at for each in self.entries if each.kind == "breaker_opened"), None)


def registrations_of(entries: Sequence[HistoryEntry]) -> list[PastRegistration]:
    """Return the registrations that begin in `entries`, both the newest first."""
    found: list[PastRegistration] = []
    for each in reversed(entries):
        if found and each.kind in _BEGINS | _ENDS:
            found[-1] = found[-1].ended(each.at, _reason(each))
        if each.kind in _BEGINS:
            found.append(PastRegistration(each.epoch, each.at, each.detail.get("version")))
    return found[::-1]


def _reason(end: HistoryEntry) -> str:
    if end.kind in _BEGINS:
        return "superseded"
    reason: str = end.detail.get("reason") or end.kind
    return reason
