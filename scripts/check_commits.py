"""Check the messages of commits that are not yet on the base branch.

    python -m scripts.check_commits                    check the commits since the base
    python -m scripts.check_commits --base REVISION    name the base
    python -m scripts.check_commits --message FILE     check one message, for a commit-msg hook

A message is `area: verb object` in at most 72 characters, a blank line, and a body that says why, and how the change
was verified.

The base is the first of --base, $BASE_REVISION, origin/main and OLDEST_BASE that this clone has. A shallow clone may
have none: then only the newest commit is checked. Commits up to OLDEST_BASE are older than these rules and are never
checked.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

OLDEST_BASE = "9ac7526"
MOST_CHARACTERS = 72

ROOT = Path(__file__).resolve().parent.parent

_SUBJECT = re.compile(r"[a-z][\w./-]*(?:[ ,]+[a-z][\w./-]*)*: (?P<verb>[a-z][a-z-]*) \S.*")
_INFLECTED = re.compile(r"\w+(ed|ing|[^isu]s)")
_IMPERATIVES = {
    "alias",
    "bring",
    "embed",
    "exceed",
    "feed",
    "need",
    "proceed",
    "seed",
    "shed",
    "speed",
    "string",
    "succeed",
    "wring",
}
_NO_VERBS = {"a", "all", "an", "better", "more", "new", "no", "the"}
_TRAILER = re.compile(r"[A-Z][a-z]+(-[A-Za-z]+)+: .*")


def problems(message: str) -> list[str]:
    """Return what is wrong with a message, each with the wanted form."""
    subject, *rest = message.strip("\n").split("\n")
    found = _problems_of_subject(subject)
    if rest and rest[0].strip():
        found.append("leave the second line blank")
    if not any(line.strip() and not _TRAILER.fullmatch(line.strip()) for line in rest):
        found.append("add a body: why, and how it was verified")
    if "co-authored-by:" in message.lower():
        found.append("remove Co-authored-by")
    return found


def _problems_of_subject(subject: str) -> list[str]:
    found = []
    if (match := _SUBJECT.fullmatch(subject)) is None:
        found.append("write the subject as 'area: verb object', area and verb in lower case")
    elif not _is_imperative(match["verb"]):
        found.append(f"start with a verb in the imperative, not {match['verb']!r}")
    if len(subject) > MOST_CHARACTERS:
        found.append(f"shorten the subject: {len(subject)} characters, at most {MOST_CHARACTERS}")
    if ";" in subject:
        found.append("one topic a commit: no semicolon in the subject")
    if subject.endswith("."):
        found.append("no full stop at the end of the subject")
    return found


def _is_imperative(verb: str) -> bool:
    return verb in _IMPERATIVES or not (_INFLECTED.fullmatch(verb) or verb in _NO_VERBS)


def git(root: Path, *arguments: str) -> str | None:
    """Return the output of a git command; None if it fails or there is no git."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout


def revisions(root: Path, base: str | None) -> list[str]:
    """Return the arguments of `git log` that select the commits to check."""

    def has(revision: str | None) -> bool:
        return bool(revision) and git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") is not None

    found = [f"^{revision}" for revision in (base, os.environ.get("BASE_REVISION"), "origin/main") if has(revision)][:1]
    if has(OLDEST_BASE):
        found.append(f"^{OLDEST_BASE}")
    return ["HEAD", *found] if found else ["HEAD", "--max-count=1"]


def check(root: Path, base: str | None) -> list[str]:
    log = git(root, "log", "-z", "--no-merges", "--format=%h%n%B", *revisions(root, base))
    errors = []
    for entry in (log or "").split("\0"):
        commit, _, message = entry.partition("\n")
        errors += [
            f"{commit} {message.partition(chr(10))[0]!r}: {problem}"
            for problem in (problems(message) if commit else [])
        ]
    return errors


def check_message(text: str) -> list[str]:
    """Check the file that an editor left: without comments and without the diff below the scissors."""
    text = re.split(r"^# -+ >8 -+$", text, maxsplit=1, flags=re.MULTILINE)[0]
    return problems("\n".join(line for line in text.split("\n") if not line.startswith("#")))


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.check_commits", description="Check the messages of new commits."
    )
    parser.add_argument(
        "--base", help="check the commits that this revision does not have (default: $BASE_REVISION or origin/main)"
    )
    parser.add_argument("--message", type=Path, metavar="FILE", help="check the message in this file instead")
    options = parser.parse_args(arguments)
    errors = (
        check_message(options.message.read_text(encoding="utf-8")) if options.message else check(root, options.base)
    )
    for error in errors:
        print(error)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
