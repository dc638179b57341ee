"""Version ranges: comparators that must all match, such as `>=1.2,<2`.

Rules
  1. A comparator is `>=`, `>`, `<=`, `<`, `=` or `==` (the default) and a version. Missing parts are zero. A leading
     `v` is ignored.
  2. Versions are ordered by semver.org 2.0.0, clause 11: `2.0.0-rc.1` is below `2`. Build metadata is ignored.
  3. Comparators without such an order are refused: `1.x`, `*`, `^1.2`, `~1.2`, `!=1`, `||` and hyphen ranges.
  4. A range is one interval, so that SQL compares a version with two bounds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from semver import Version

from robyn_server.core.errors import Invalid

MAX_COMPARATORS = 16
MAX_DIGITS = 18
"""Digits of a number within a version."""

_COMPARATOR = re.compile(r"(>=|<=|==|>|<|=)?\s*[vV]?([0-9][0-9A-Za-z.+-]*)", re.ASCII)
_RULE = "must be comparators like >=1.2,<2 (>=, >, <=, <, =), joined by commas"


@dataclass(frozen=True, slots=True)
class Bound:
    version: Version
    inclusive: bool

    @property
    def text(self) -> str:
        """The version without build metadata."""
        return str(self.version.replace(build=None))


@dataclass(frozen=True, slots=True)
class VersionRange:
    """An interval of versions. None: unbounded on that side."""

    low: Bound | None = None
    high: Bound | None = None

    def contains(self, text: str | None) -> bool:
        """Return whether `text` is a version within the range."""
        version = None if text is None else find_version(text)
        return version is not None and self._is_above_low(version) and self._is_below_high(version)

    def _is_above_low(self, version: Version) -> bool:
        low = self.low
        return low is None or version > low.version or (low.inclusive and version == low.version)

    def _is_below_high(self, version: Version) -> bool:
        high = self.high
        return high is None or version < high.version or (high.inclusive and version == high.version)

    def narrow(self, operator: str, version: Version) -> VersionRange:
        """Return the part of this range that matches one more comparator."""
        low, high = self.low, self.high
        if operator in {">=", ">", "="}:
            low = _higher(low, Bound(version, operator != ">"))
        if operator in {"<=", "<", "="}:
            high = _lower(high, Bound(version, operator != "<"))
        return VersionRange(low, high)


def parse_version_range(text: str) -> VersionRange:
    """Raises Invalid naming the field `version`."""
    comparators = text.split(",")
    if len(comparators) > MAX_COMPARATORS:
        raise Invalid(f"version: at most {MAX_COMPARATORS} comparators", field="version")
    versions = VersionRange()
    for comparator in comparators:
        versions = versions.narrow(*_parse_comparator(comparator))
    return versions


def find_version(text: str) -> Version | None:
    """Parse a version (rule 1). Return None when `text` is not a version."""
    bare = text[1:] if text[:1] in {"v", "V"} else text
    try:
        version = Version.parse(bare, optional_minor_and_patch=True)
    except ValueError:
        return None
    parts = [str(part) for part in version.to_tuple()[:3]] + (version.prerelease or "").split(".")
    return None if any(part.isdigit() and len(part) > MAX_DIGITS for part in parts) else version


def _parse_comparator(comparator: str) -> tuple[str, Version]:
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
