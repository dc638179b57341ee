"""Check docstrings, comments, messages and Markdown against the prose rules of CONTRIBUTING.md.

    python -m scripts.check_prose               check all files except those of prose_pending.txt
    python -m scripts.check_prose PATH ...      check files and folders, pending or not
    python -m scripts.check_prose --pending     replace prose_pending.txt by the pending files that still have findings

`prose_pending.txt` lists files that are older than the rules. It may only shrink: an entry without a finding is an
error.

The comment `prose: allow RULE (REASON)` excuses a finding. It stands on the line of the finding, on the line above the
paragraph, or on the last line of the docstring. An exception that excuses nothing is an error.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from scripts.prose_text import EXTRACTORS, Block, blocks_of, words

MOST_WORDS = 30
"""In one sentence of a docstring, comment or page."""

MOST_EXCEPTIONS = 10
"""In the whole repository. Rewrite a sentence before you raise this."""

COINAGES = {
    "anew": "again",
    "befalls?|befell": "happens to",
    "fates?": "notification, outcome",
    "halls?": "session hub",
    "hereof|thereof": "of it, its",
    "leaseholds?": "lease services",
    "let(s|ting)? go of": "release, drop",
    "lifelines?": "parent-death pipe",
    "owed?|owes": "pending",
    "sayable": "valid",
    "seats?": "slot, quota",
    "silhouettes?": "base class, shape",
    "strangers?": "unexpected error, untrusted client, newcomer",
    "the books": "the ledger, the recorder",
    "vouch(e[sd]|ing)?": "report alive",
    "watchm[ae]n": "liveness monitor",
}
"""Words that nobody would search for, and the standard words to write instead.

A compound with a hyphen (`two-seat`) counts too.
"""

ROOT = Path(__file__).resolve().parent.parent
PENDING = "scripts/prose_pending.txt"
PENDING_HEAD = """\
# Files that are older than the rules of scripts/check_prose.py: one path or glob a line. This list may only shrink.
# `python -m scripts.check_prose --pending` drops the files that are done; an entry without a finding fails `make lint`.
"""


@dataclass(frozen=True)
class Rule:
    """A pattern that no sentence may contain, and what to write instead."""

    name: str
    pattern: re.Pattern[str]
    instead: str


def _rule(name: str, pattern: str, instead: str) -> Rule:
    return Rule(name, re.compile(pattern, re.IGNORECASE), instead)


_START = r"^[\"'(\[*_]*"
_NO_QUESTION = r"(?![^?]*\?[\"')\]*_]*$)"
_CLAUSE_END = r"(?=\s*($|[.,;:)!?]|(is|are|was|were|has|had|that|which|and|or|in|on|at)\b))"

RULES = (
    _rule("who-clause", rf"{_START}(who|whose|whom)\b{_NO_QUESTION}", "name the subject: 'A caller that ...'"),
    _rule("whoever", r"\b(who|whom)(so)?ever\b", "name the subject: 'A replica that ...', 'any caller'"),
    _rule(
        "what-clause",
        rf"{_START}what(ever)?\b{_NO_QUESTION}",
        "start with a verb or a noun: 'Return ...', 'Rows that ...'",
    ),
    _rule("of-its", rf"\bof (its|his|hers|theirs){_CLAUSE_END}", "write 'its instance', not 'an instance of its'"),
    _rule("gendered-pronoun", r"\b(he|him|his|himself|she|her|hers|herself)\b", "write 'the user', 'they' or 'its'"),
    _rule("organisation", r"\borganisation(s|al)?\b", "write 'organization'"),
    _rule("to-be-had", r"\b(can|could|may|must|to) be had\b", "write 'is available' or 'can be read from ...'"),
    *(_rule("coinage", rf"\b({coined})\b", f"write: {standard}") for coined, standard in COINAGES.items()),
)

_SKIPPED = re.compile(r"\.(?!github$)|__|build$|dist$|node_modules$")
_EXCEPTION = re.compile(r"prose: allow ([a-z-]+) \([^)]+\)")


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    rule: str
    found: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.found!r}: {self.instead}"


def check_block(path: str, block: Block) -> Iterator[Finding]:
    for offset, sentence in block.sentences():
        for rule in RULES:
            for match in rule.pattern.finditer(sentence):
                at = offset + match.start()
                yield Finding(path, block.line_at(at), rule.name, _excerpt(block, offset, at), rule.instead)
        length = len(words(sentence))
        if block.kind != "message" and length > MOST_WORDS:
            instead = f"split it: {length} words, at most {MOST_WORDS}"
            yield Finding(path, block.line_at(offset), "long-sentence", _excerpt(block, offset, offset), instead)


def _excerpt(block: Block, sentence: int, at: int) -> str:
    """Return the words around a finding, from no earlier than the start of its sentence."""
    start = max(sentence, block.original.rfind(" ", 0, max(at - 12, 0)) + 1)
    return block.original[start : at + 40].strip()


def check_file(root: Path, path: str) -> tuple[list[Finding], list[str]]:
    """Return the findings that no exception excuses, and the exceptions of the file as `path:line`."""
    lines = (root / path).read_text(encoding="utf-8").split("\n")
    exceptions = [(line, match[1]) for line, text in enumerate(lines, 1) for match in _EXCEPTION.finditer(text)]
    used: set[tuple[int, str]] = set()
    findings = []
    for block in blocks_of(root / path):
        if block.kind == "message" and path.startswith("tests/"):
            continue  # data of a test
        for finding in check_block(path, block):
            excuses = {each for each in exceptions if each[1] == finding.rule and block.first <= each[0] <= block.last}
            used |= excuses
            if not excuses:
                findings.append(finding)
    for line, rule in sorted(set(exceptions) - used):
        findings.append(Finding(path, line, "unused-exception", f"allow {rule}", "remove it"))
    return findings, [f"{path}:{line}" for line, _ in exceptions]


def files_below(root: Path, paths: Iterable[str]) -> list[str]:
    """List the files with prose, as paths relative to `root`.

    Hidden folders (except .github) and build folders are left out.
    """
    found: set[str] = set()
    for path in paths:
        if (root / path).is_file():
            found.add(path)
        for folder, folders, files in os.walk(root / path):
            folders[:] = [name for name in folders if not _SKIPPED.match(name)]
            found |= {str(Path(folder, name).relative_to(root)) for name in files if Path(name).suffix in EXTRACTORS}
    return sorted(found)


def read_pending(root: Path) -> list[str]:
    file = root / PENDING
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [line for line in lines if line and not line.startswith("#")]


def shrink_pending(root: Path) -> None:
    """Replace the pending list by those files that it matches and that still have findings."""
    pending = read_pending(root)
    old = [path for path in files_below(root, ["."]) if any(fnmatchcase(path, entry) for entry in pending)]
    left = [path for path in old if check_file(root, path)[0]]
    (root / PENDING).write_text(PENDING_HEAD + "".join(f"{path}\n" for path in left), encoding="utf-8")


def check_all(root: Path) -> list[str]:
    """Check every file that is not pending; demand that each pending entry has a finding and that exceptions are
    few."""
    pending = read_pending(root)
    used: set[str] = set()
    errors: list[str] = []
    exceptions: list[str] = []
    for path in files_below(root, ["."]):
        entries = {entry for entry in pending if fnmatchcase(path, entry)}
        if entries and entries <= used:
            continue  # one finding per entry is enough
        findings, excused = check_file(root, path)
        if not entries:
            errors += map(str, findings)
            exceptions += excused
        elif findings:
            used |= entries
    errors += [
        f"{PENDING}: {entry}: nothing is left to rewrite, remove this line" for entry in pending if entry not in used
    ]
    if len(exceptions) > MOST_EXCEPTIONS:
        errors.append(f"more than {MOST_EXCEPTIONS} exceptions, rewrite a sentence instead: {', '.join(exceptions)}")
    return errors


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.check_prose", description="Check the prose of the repository."
    )
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="files and folders (default: all that are not pending)"
    )
    parser.add_argument("--pending", action="store_true", help=f"shrink {PENDING} to the files that have findings")
    options = parser.parse_args(arguments)
    if options.pending:
        shrink_pending(root)
        return 0
    if options.paths:
        errors = [str(finding) for path in files_below(root, options.paths) for finding in check_file(root, path)[0]]
    else:
        errors = check_all(root)
    for error in errors:
        print(error)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
