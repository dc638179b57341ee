"""The check of commit messages, on messages and on small repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts import check_commits
from scripts.check_commits import MOST_CHARACTERS, check, check_message, main, problems

GOOD = "pool: keep the result when a release fails\n\nThe result was lost.\nVerified by a test.\n"


@pytest.mark.parametrize(
    "subject",
    [
        "pool: keep the result when a release fails",
        "agent_sync/engine: pass decisions to the dry run",
        "web, sockets: process one frame at a time",
        "docs: need no server for the tutorial",
        "tests: focus on `renew` (not `claim`)",
        "x: " + "do " + "y" * (MOST_CHARACTERS - 6),
    ],
)
def test_an_imperative_subject_with_a_body_is_accepted(subject: str) -> None:
    assert problems(f"{subject}\n\nBecause it was wrong.\n") == []


@pytest.mark.parametrize(
    ("subject", "problem"),
    [
        ("Keep the result", "write the subject as 'area: verb object', area and verb in lower case"),
        ("Pool: keep the result", "write the subject as 'area: verb object', area and verb in lower case"),
        ("pool: Keep the result", "write the subject as 'area: verb object', area and verb in lower case"),
        ("pool: keep", "write the subject as 'area: verb object', area and verb in lower case"),
        ("fixup! pool: keep the result", "write the subject as 'area: verb object', area and verb in lower case"),
        ("pool: keeps the result", "start with a verb in the imperative, not 'keeps'"),
        ("pool: fixed the result", "start with a verb in the imperative, not 'fixed'"),
        ("pool: fixing the result", "start with a verb in the imperative, not 'fixing'"),
        ("pool: the result is kept", "start with a verb in the imperative, not 'the'"),
        ("pool: keep the result; drop a test", "one topic a commit: no semicolon in the subject"),
        ("pool: keep the result.", "no full stop at the end of the subject"),
        ("x: do " + "y" * MOST_CHARACTERS, "shorten the subject: 78 characters, at most 72"),
    ],
)
def test_each_fault_of_a_subject_is_named(subject: str, problem: str) -> None:
    assert problems(f"{subject}\n\nBecause it was wrong.\n") == [problem]


@pytest.mark.parametrize("body", ["", "\n", "\n\n", "\n\nSigned-off-by: A B <a@b>\n"])
def test_a_message_without_a_body_is_refused(body: str) -> None:
    assert problems(f"pool: keep the result{body}") == ["add a body: why, and how it was verified"]


def test_the_second_line_is_blank() -> None:
    assert problems("pool: keep the result\nIt was lost.\n") == ["leave the second line blank"]


def test_co_authors_are_refused() -> None:
    assert problems(f"{GOOD}\nCo-Authored-By: A B <a@b>\n") == ["remove Co-authored-by"]


def test_a_hook_sees_the_message_without_comments_and_diff() -> None:
    assert check_message(f"# comment; x\n{GOOD}# -------- >8 --------\ndiff; x\n") == []


def test_a_hook_reads_the_message_from_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "COMMIT_EDITMSG").write_text("pool: keep the result\n")
    assert main(["--message", str(tmp_path / "COMMIT_EDITMSG")]) == 1
    assert capsys.readouterr().out == "add a body: why, and how it was verified\n"


class Repository:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", "-C", str(self.path), *who, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        self.git("commit", "-q", "--allow-empty", "--no-verify", "-m", message)
        return self.git("rev-parse", "HEAD")

    def faults(self, base: str | None = None) -> list[str]:
        """The subjects that are refused."""
        return [error.split("'")[1] for error in check(self.path, base)]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.delenv("BASE_REVISION", raising=False)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    return Repository(tmp_path)


def test_only_commits_after_the_base_are_checked(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    base = repository.commit("Bad one\n\nBody.")
    repository.commit("Bad two\n\nBody.")
    repository.commit(GOOD)
    assert repository.faults(base) == ["Bad two"]
    monkeypatch.setenv("BASE_REVISION", base)
    assert repository.faults() == ["Bad two"]
    repository.git("update-ref", "refs/remotes/origin/main", "HEAD")
    assert repository.faults() == ["Bad two"], "the environment comes before origin/main"
    monkeypatch.delenv("BASE_REVISION")
    assert repository.faults() == []


def test_commits_before_the_rules_are_never_checked(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    first = repository.commit("Bad one\n\nBody.")
    monkeypatch.setattr(check_commits, "OLDEST_BASE", repository.commit("Bad two\n\nBody."))
    repository.commit("Bad three\n\nBody.")
    assert repository.faults() == ["Bad three"]
    assert repository.faults(first) == ["Bad three"]


def test_a_clone_without_a_base_checks_the_newest_commit(repository: Repository) -> None:
    repository.commit("Bad one\n\nBody.")
    repository.commit("Bad two\n\nBody.")
    assert repository.faults("gone") == ["Bad two"]
    repository.git("checkout", "-q", "--detach")
    assert repository.faults() == ["Bad two"]


def test_merges_are_not_checked(repository: Repository) -> None:
    base = repository.commit(GOOD)
    repository.git("checkout", "-q", "-b", "side")
    repository.commit(GOOD)
    repository.git("checkout", "-q", "main")
    repository.git("merge", "-q", "--no-ff", "-m", "Merge side", "side")
    assert repository.faults(base) == []


def test_a_folder_without_a_repository_passes(tmp_path: Path) -> None:
    assert check(tmp_path, None) == []
