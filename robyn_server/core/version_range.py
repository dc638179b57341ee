"""Ranges of versions: comparators, all of which must hold, such as `>=1.2,<2`.

Rules
  1. A comparator is `>=`, `>`, `<=`, `<` or `=` (`==`, or none) and a version; missing parts are zero, a leading `v` does not count.
  2. Versions are ordered by semver.org 2.0.0, clause 11, and by nothing else: `2.0.0-rc.1` is below `2`. Build metadata does not count.
  3. What has no such order is refused by name: `1.x`, `*`, `^1.2`, `~1.2`, `!=1`, `||`, hyphen ranges.
A range is an interval with two ends, so that a database can look for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from semver import Version

from .errors import Invalid

MOST_COMPARATORS = 16
LONGEST_NUMBER = 18
"""Digits that an ordered number may have."""

_COMPARATOR = re.compile(r"(>=|<=|==|>|<|=)?\s*[vV]?([0-9][0-9A-Za-z.+-]*)", re.ASCII)
_RULE = "must be comparators like >=1.2,<2 (>=, >, <=, <, =), joined by commas"


@dataclass(frozen=True, slots=True)
class Bound:
    version: Version
    inclusive: bool

    @property
    def text(self) -> str:
        """Without build metadata."""
        return str(self.version.replace(build=None))


@dataclass(frozen=True, slots=True)
class VersionRange:
    """`low` and `high` None: without an end on that side."""

    low: Bound | None = None
    high: Bound | None = None

    def holds(self, text: str | None) -> bool:
        """Whether the version `text` lies within; what is no version lies in no range."""
        version = None if text is None else find_version(text)
        return version is not None and self._from_low(version) and self._to_high(version)

    def _from_low(self, version: Version) -> bool:
        low = self.low
        return low is None or version > low.version or (low.inclusive and version == low.version)

    def _to_high(self, version: Version) -> bool:
        high = self.high
        return high is None or version < high.version or (high.inclusive and version == high.version)

    def narrowed(self, operator: str, version: Version) -> VersionRange:
        low, high = self.low, self.high
        if operator in {">=", ">", "="}:
            low = _higher(low, Bound(version, operator != ">"))
        if operator in {"<=", "<", "="}:
            high = _lower(high, Bound(version, operator != "<"))
        return VersionRange(low, high)


def parse_version_range(text: str) -> VersionRange:
    """Raises Invalid naming the field `version`."""
    comparators = text.split(",")
    if len(comparators) > MOST_COMPARATORS:
        raise Invalid(f"version: at most {MOST_COMPARATORS} comparators", field="version")
    found = VersionRange()
    for comparator in comparators:
        found = found.narrowed(*_parsed(comparator))
    return found


def find_version(text: str) -> Version | None:
    """`text` as a version (rule 1); None when it is none."""
    bare = text[1:] if text[:1] in {"v", "V"} else text
    try:
        version = Version.parse(bare, optional_minor_and_patch=True)
    except ValueError:
        return None
    ordered = [str(part) for part in version.to_tuple()[:3]] + (version.prerelease or "").split(".")
    return None if any(part.isdigit() and len(part) > LONGEST_NUMBER for part in ordered) else version


def _parsed(comparator: str) -> tuple[str, Version]:
    match = _COMPARATOR.fullmatch(comparator.strip())
    version = None if match is None else find_version(match[2])
    if match is None or version is None:
        raise Invalid(f"version: {comparator.strip()[:64]!r} is not understood; {_RULE}", field="version")
    operator = match[1] or "="
    return ("=" if operator == "==" else operator), version


def _higher(one: Bound | None, other: Bound) -> Bound:
    if one is None or other.version > one.version:
        return other
    return Bound(one.version, one.inclusive and other.inclusive) if other.version == one.version else one


def _lower(one: Bound | None, other: Bound) -> Bound:
    if one is None or other.version < one.version:
        return other
    return Bound(one.version, one.inclusive and other.inclusive) if other.version == one.version else one
