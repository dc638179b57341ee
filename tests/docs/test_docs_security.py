"""Each line of the threat model names a test that exists."""

from __future__ import annotations

import re

import pytest
from doc_pages import DOCS, ROOT
from markers import audit_tests

PAGE = (DOCS / "explanation" / "security.md").read_text(encoding="utf-8")
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", PAGE)))
RISKS = [line for line in PAGE.splitlines() if re.match(r"\| (API|ASI|F)\d", line)]


@pytest.mark.parametrize("test", TESTS)
def test_a_test_that_is_named_exists(test: str) -> None:
    path, _, name = test.partition("::")
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_risk_and_every_finding_has_a_test() -> None:
    names = [f"API{n}" for n in range(1, 11)] + [f"ASI{n:02}" for n in range(1, 11)]
    names += [f"F{n}" for n in range(1, 15)]
    assert [re.split(r"[ |]+", line)[1] for line in RISKS] == names
    for line in RISKS:
        assert re.search(r"`tests/[\w/]+\.py::\w+` \||`tests/[\w/]+\.py::\w+`, ", line), line


def test_the_marker_audit_selects_the_tests_of_the_findings() -> None:
    assert audit_tests() == {
        test for line in RISKS if line.startswith("| F") for test in re.findall(r"`(tests/\S+)`", line)
    }
