"""Where a `serve` answers, for commands in other terminals; with real processes, since it is about their lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from deadlines import DEADLINE

from robyn_server.supervisor.address_file import RunningServer, find_running_server, published_address

_HOLD = """
import os, sys
from pathlib import Path
from robyn_server.supervisor.address_file import RunningServer, published_address
with published_address(Path(sys.argv[1]), RunningServer(sys.argv[2], os.getpid())):
    print("announced", flush=True)
    input()
"""
HERE = RunningServer("http://127.0.0.1:3000", os.getpid())


def announcer(root: Path, url: str) -> subprocess.Popen[str]:
    """A process that has announced itself, and leaves at the end of its input."""
    arguments = [sys.executable, "-c", _HOLD, str(root), url]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "announced\n"
    return process


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=DEADLINE)


def test_who_announces_is_found_until_it_leaves(tmp_path: Path) -> None:
    process = announcer(tmp_path, "http://127.0.0.1:3000")
    assert find_running_server(tmp_path) == RunningServer("http://127.0.0.1:3000", process.pid)
    leave(process)
    assert find_running_server(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_left_behind_says_nothing(tmp_path: Path) -> None:
    process = announcer(tmp_path, "http://127.0.0.1:3000")
    process.kill()
    process.communicate()
    assert json.loads((tmp_path / "serving.json").read_text())["pid"] == process.pid
    assert find_running_server(tmp_path) is None


def test_of_several_servers_the_last_one_started_is_told_and_the_first_leaves_it_alone(tmp_path: Path) -> None:
    first, second = announcer(tmp_path, "http://127.0.0.1:3000"), announcer(tmp_path, "http://127.0.0.1:3001")
    leave(first)
    assert find_running_server(tmp_path) == RunningServer("http://127.0.0.1:3001", second.pid)
    leave(second)


def test_a_directory_that_was_made_for_it_goes_with_it_and_others_stay(tmp_path: Path) -> None:
    for root, stays in ((tmp_path / "new", False), (tmp_path, True)):
        with published_address(root, HERE):
            assert (root / "serving.json").stat().st_mode & 0o777 == 0o600
        assert root.exists() is stays


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": "http://x", "pid": "soon"}', "\x00"])
def test_what_is_no_file_of_ours_says_nothing(tmp_path: Path, text: str) -> None:
    with published_address(tmp_path, HERE):
        (tmp_path / "serving.json").write_text(text)
        assert find_running_server(tmp_path) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_somebody_elses_word_is_not_taken(tmp_path: Path) -> None:
    """Commands send API keys to the address in it."""
    with published_address(tmp_path, HERE):
        assert find_running_server(tmp_path) == HERE
        os.chown(tmp_path / "serving.json", 65534, 65534)
        assert find_running_server(tmp_path) is None
